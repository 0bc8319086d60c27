//! The one form of an index: what is kept, what is reported, what is refused.

use super::*;

fn square(south: i32, west: i32, size: i32) -> Vec<Point> {
    let at = |lat, lon| Point::new(lat, lon).unwrap();
    vec![
        at(south, west),
        at(south, west + size),
        at(south + size, west + size),
        at(south + size, west),
        at(south, west),
    ]
}

fn part(code: &str, rings: &[Vec<Point>]) -> SourcePart {
    SourcePart {
        code: code.into(),
        name: format!("{code}市"),
        rings: rings.to_vec(),
    }
}

#[test]
fn the_same_outlines_in_any_order_have_one_digest_and_read_back() {
    let mainland = part(
        "17201",
        &[square(0, 0, 90), square(30, 30, 30), square(5, 5, 3)],
    );
    let island = part("17201", &[square(200, 0, 9)]);
    let other = part("17203", &[square(0, 90, 90)]);
    let (index, report) =
        BoundaryIndex::build("出典", [mainland.clone(), island.clone(), other.clone()]).unwrap();
    assert_eq!(
        (report.municipalities, report.polygons, report.vertices),
        (2, 3, 20)
    );
    assert!(report.problems.is_empty());
    let mut turned = mainland;
    turned.rings.iter_mut().for_each(|ring| {
        ring.reverse();
        ring.pop();
    });
    turned.rings.swap(1, 2);
    let (same, _) = BoundaryIndex::build("出典", [other.clone(), island, turned]).unwrap();
    assert_eq!(same.digest(), index.digest());
    let read = BoundaryIndex::decode(&index.encode()).unwrap();
    assert_eq!(read, index);
    assert_eq!(read.credit(), "出典");
    assert_eq!(read.encoded_len(), index.encode().len());
    assert_eq!(read.municipality("17203").unwrap().name, "17203市");
    assert_eq!(read.municipality("17202"), None);
    let (without, _) = BoundaryIndex::build("出典", [other]).unwrap();
    assert_ne!(without.digest(), index.digest());
}

#[test]
fn broken_parts_are_reported_and_the_rest_is_kept() {
    let line = vec![Point::new(0, 0).unwrap(), Point::new(1, 1).unwrap()];
    let parts = [
        part("1", &[square(0, 0, 9), line.clone()]),
        part("1", &[square(0, 0, 9)]),
        part("2", std::slice::from_ref(&line)),
        part("", &[square(0, 0, 9)]),
        part("金沢", &[square(0, 0, 9)]),
        part("3", &[]),
        SourcePart {
            name: "別名".into(),
            ..part("1", &[square(50, 0, 9)])
        },
        SourcePart {
            name: "市".repeat(100),
            ..part("4", &[square(70, 0, 9)])
        },
    ];
    let (index, report) = BoundaryIndex::build("", parts).unwrap();
    let said: Vec<_> = report
        .problems
        .iter()
        .map(|p| (p.code.as_str(), p.what))
        .collect();
    let expected = [
        ("1", Omission::DegenerateHole),
        ("2", Omission::DegenerateOuterRing),
        ("", Omission::BadCode),
        ("金沢", Omission::BadCode),
        ("3", Omission::DegenerateOuterRing),
        ("1", Omission::OtherName),
        ("4", Omission::LongName),
        ("1", Omission::RepeatedPolygon),
    ];
    assert_eq!(said, expected);
    let codes: Vec<_> = index
        .municipalities()
        .iter()
        .map(|m| m.code.as_str())
        .collect();
    assert_eq!(codes, ["1", "4"]);
    assert_eq!(index.municipality("4").unwrap().name, "市".repeat(85));
    let many = vec![part("1", std::slice::from_ref(&line)); 1003];
    let (_, report) = BoundaryIndex::build("", many).unwrap();
    assert_eq!((report.problems.len(), report.more_problems), (1000, 3));
    assert_eq!(
        BoundaryIndex::build(&"x".repeat(2049), []).err(),
        Some(Refusal::TooLarge)
    );
}

#[test]
fn only_the_one_form_is_read() {
    let ring = |points: &[(i32, i32)]| {
        let bytes = |&(lat, lon): &(i32, i32)| [lat.to_be_bytes(), lon.to_be_bytes()].concat();
        ByteBuf::from(points.iter().flat_map(bytes).collect::<Vec<_>>())
    };
    let wire = |v, code: &str, rings: Vec<ByteBuf>| {
        let municipality = WireMunicipality {
            code: code.into(),
            name: String::new(),
            polygons: vec![rings],
        };
        codec::encode(&Wire {
            v,
            credit: String::new(),
            municipalities: vec![municipality],
        })
    };
    let canonical = [(0, 0), (0, 9), (9, 9), (9, 0)];
    assert!(BoundaryIndex::decode(&wire(1, "1", vec![ring(&canonical)])).is_ok());
    let check = |bytes: Vec<u8>, expected| {
        assert_eq!(BoundaryIndex::decode(&bytes).err(), Some(expected));
    };
    check(
        wire(2, "1", vec![ring(&canonical)]),
        Refusal::UnknownVersion,
    );
    check(wire(1, "a b", vec![ring(&canonical)]), Refusal::BadCbor);
    check(wire(1, "1", vec![]), Refusal::BadCbor);
    check(
        wire(1, "1", vec![ring(&[(0, 9), (9, 9), (9, 0), (0, 0)])]),
        Refusal::BadCbor,
    );
    check(
        wire(1, "1", vec![ring(&[(0, 0), (9, 0), (9, 9), (0, 9)])]),
        Refusal::BadCbor,
    );
    check(
        wire(
            1,
            "1",
            vec![ring(&[(0, 0), (0, 9), (9, 9), (9, 0), (0, 0)])],
        ),
        Refusal::BadCbor,
    );
    check(
        wire(1, "1", vec![ring(&[(0, 0), (0, 9), (1_000_000_000, 9)])]),
        Refusal::BadCbor,
    );
    check(
        wire(1, "1", vec![ByteBuf::from(vec![0; 25])]),
        Refusal::BadCbor,
    );
    check(b"\xa0".to_vec(), Refusal::BadCbor);
}
