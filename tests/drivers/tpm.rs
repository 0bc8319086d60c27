//! Secrets and counters in an emulated TPM.

use city_drivers::tpm::{Pcrs, Tpm, TpmAddress, TpmError};

use super::swtpm::Swtpm;

/// A handle in the range that the TCG leaves to owners.
const INDEX: u32 = 0x0150_0a17;

fn address(tpm: &Swtpm) -> TpmAddress {
    tpm.address().parse().unwrap()
}

fn open(tpm: &Swtpm) -> Tpm {
    Tpm::open(&address(tpm)).unwrap()
}

#[test]
fn a_secret_comes_back_from_the_tpm_that_sealed_it_only() {
    let root = tempfile::tempdir().unwrap();
    let Some(ours) = Swtpm::start(&root.path().join("ours")) else {
        return;
    };
    let other = Swtpm::start(&root.path().join("other")).unwrap();
    let secret = [0x5a; 32];
    let sealed = open(&ours).seal(&secret, &Pcrs::default()).unwrap();
    assert!(!sealed.private.windows(8).any(|window| window == [0x5a; 8]));
    assert_eq!(open(&ours).unseal(&sealed).unwrap().as_slice(), secret);
    let refused = open(&other).unseal(&sealed).unwrap_err();
    assert!(matches!(refused, TpmError::OtherTpm { .. }), "{refused:?}");

    let mut changed = sealed.clone();
    *changed.private.last_mut().unwrap() ^= 1;
    let refused = open(&ours).unseal(&changed).unwrap_err();
    assert!(matches!(refused, TpmError::OtherTpm { .. }), "{refused:?}");
    changed.private = vec![1, 2, 3];
    assert!(open(&ours).unseal(&changed).is_err());
    changed.public = vec![0xff; 40];
    let refused = open(&ours).unseal(&changed).unwrap_err();
    assert!(matches!(refused, TpmError::Form(_)), "{refused:?}");
    let mut tpm = open(&ours);
    assert!(matches!(
        tpm.seal(&[], &Pcrs::default()),
        Err(TpmError::Form(_))
    ));
    assert!(matches!(
        tpm.seal(&[0; 129], &Pcrs::default()),
        Err(TpmError::Form(_))
    ));
}

/// Many times over one connection and over many: what is not flushed fills a TPM after three.
#[test]
fn nothing_is_left_in_the_tpm() {
    let root = tempfile::tempdir().unwrap();
    let Some(tpm) = Swtpm::start(root.path()) else {
        return;
    };
    let bound = Pcrs::new(&[16]).unwrap();
    let mut session = open(&tpm);
    for _ in 0..6 {
        for pcrs in [&Pcrs::default(), &bound] {
            let sealed = session.seal(b"secret", pcrs).unwrap();
            session.unseal(&sealed).unwrap();
        }
    }
    drop(session);
    let sealed = open(&tpm).seal(b"secret", &bound).unwrap();
    tpm.extend(16);
    for _ in 0..6 {
        let refused = open(&tpm).unseal(&sealed).unwrap_err();
        assert!(
            matches!(refused, TpmError::OtherState { .. }),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("PCR 16"), "{refused}");
    }
    open(&tpm).seal(b"secret", &bound).unwrap();
}

#[test]
fn a_secret_is_bound_to_what_the_registers_hold() {
    let root = tempfile::tempdir().unwrap();
    let Some(tpm) = Swtpm::start(root.path()) else {
        return;
    };
    let pcrs = Pcrs::new(&[7, 11, 16]).unwrap();
    let sealed = open(&tpm).seal(b"secret", &pcrs).unwrap();
    assert_eq!(open(&tpm).unseal(&sealed).unwrap().as_slice(), b"secret");
    tpm.extend(11);
    let refused = open(&tpm).unseal(&sealed).unwrap_err();
    assert!(
        matches!(refused, TpmError::OtherState { .. }),
        "{refused:?}"
    );
    // Without the policy the object does not open either.
    let stripped = city_drivers::tpm::Sealed {
        pcrs: Pcrs::default(),
        ..sealed
    };
    assert!(open(&tpm).unseal(&stripped).is_err());
}

#[test]
fn a_counter_only_rises_and_outlives_the_power() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state");
    let Some(tpm) = Swtpm::start(&state) else {
        return;
    };
    assert_eq!(open(&tpm).counter(INDEX).unwrap(), None);
    assert!(matches!(
        open(&tpm).count(INDEX),
        Err(TpmError::NotACounter { .. })
    ));
    let first = open(&tpm).make_counter(INDEX).unwrap();
    let second = open(&tpm).count(INDEX).unwrap();
    assert_eq!(second, first + 1);
    assert!(matches!(
        open(&tpm).make_counter(INDEX),
        Err(TpmError::NotACounter { .. })
    ));
    assert!(matches!(open(&tpm).counter(7), Err(TpmError::Form(_))));
    drop(tpm);
    let tpm = Swtpm::start(&state).unwrap();
    assert_eq!(open(&tpm).counter(INDEX).unwrap(), Some(second));
}

/// Begins sessions that nobody ends, as a program does that forgets to; gives how many it took.
fn exhaust_sessions(tpm: &Swtpm) -> usize {
    let mut body = vec![0x80, 0x01, 0, 0, 0, 0, 0, 0, 0x01, 0x76];
    body.extend([0x40, 0, 0, 7, 0x40, 0, 0, 7]);
    body.extend([0, 16]);
    body.extend([7; 16]);
    body.extend([0, 0, 0, 0, 0x10, 0, 0x0b]);
    body[5] = u8::try_from(body.len()).unwrap();
    (0..64)
        .find(|_| tpm.command(&body) != 0)
        .expect("a TPM holds few sessions")
}

#[test]
fn a_tpm_that_is_busy_or_missing_is_told_with_what_to_do() {
    let nowhere: TpmAddress = "swtpm:host=127.0.0.1,port=9".parse().unwrap();
    let refused = Tpm::open(&nowhere).err().unwrap();
    assert!(
        matches!(refused, TpmError::Unreachable { .. }),
        "{refused:?}"
    );
    let no_device: TpmAddress = "device:/dev/no-such-tpm".parse().unwrap();
    let refused = Tpm::open(&no_device).err().unwrap();
    assert!(matches!(refused, TpmError::Missing { .. }), "{refused:?}");

    let root = tempfile::tempdir().unwrap();
    let Some(tpm) = Swtpm::start(root.path()) else {
        return;
    };
    assert!(exhaust_sessions(&tpm) >= 1);
    let refused = open(&tpm).seal(b"secret", &Pcrs::default()).unwrap_err();
    assert!(matches!(refused, TpmError::Busy { .. }), "{refused:?}");
    assert!(refused.to_string().contains("/dev/tpmrm0"), "{refused}");
}
