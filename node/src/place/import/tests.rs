//! Importing small files written here, and a recorded prefecture where it is. More of them: `tests/node/place.rs`.

use super::*;
use city_protocol::place::Side;

fn imported(text: &str) -> Import {
    import_text("test.geojson", text.as_bytes(), &ImportOptions::default()).unwrap()
}

fn collection(features: &[String]) -> String {
    format!(
        r#"{{"type":"FeatureCollection","features":[{}]}}"#,
        features.join(",")
    )
}

fn feature(properties: &str, geometry: &str) -> String {
    format!(r#"{{"type":"Feature","properties":{properties},"geometry":{geometry}}}"#)
}

fn square(lon: u32) -> String {
    let east = lon + 1;
    format!("[[{lon},35],[{east},35],[{east},36],[{lon},36],[{lon},35]]")
}

fn polygon(lon: u32) -> String {
    format!(r#"{{"type":"Polygon","coordinates":[{}]}}"#, square(lon))
}

#[test]
fn features_of_one_code_become_one_municipality() {
    let named = r#"{"N03_001":"石川県","N03_002":null,"N03_003":"河北郡","N03_004":"津幡町","N03_007":"17361"}"#;
    let multi = format!(
        r#"{{"type":"MultiPolygon","coordinates":[[{}],[{}]]}}"#,
        square(138),
        square(140)
    );
    let import = imported(&collection(&[
        feature(named, &polygon(136)),
        feature(named, &multi),
    ]));
    let tsubata = import.index.municipality("17361").unwrap();
    assert_eq!(
        (tsubata.name.as_str(), tsubata.polygons.len()),
        ("河北郡津幡町", 3)
    );
    assert_eq!(import.index.credit(), N03_CREDIT);
    assert_eq!((import.report.files, import.report.features), (1, 2));
    assert!(import.report.skipped.is_empty());
}

#[test]
fn what_cannot_be_used_is_reported_and_the_rest_is_kept() {
    let coded = r#"{"N03_007":"17201"}"#;
    let text = collection(&[
        feature(r#"{"N03_007":null}"#, &polygon(136)),
        feature(r#"{"N03_007":" "}"#, &polygon(136)),
        feature("null", &polygon(136)),
        feature(coded, "null"),
        feature(coded, r#"{"type":"Point","coordinates":[136,36]}"#),
        feature(
            coded,
            r#"{"type":"Polygon","coordinates":[[[200,0],[200,1],[201,1],[200,0]]]}"#,
        ),
        feature(
            coded,
            r#"{"type":"Polygon","coordinates":[[[136,35],[136,35],[136,35]]]}"#,
        ),
        feature(coded, &polygon(136)),
        r#"{"type":"Feature","geometry":7}"#.into(),
    ]);
    let Import { index, report } = imported(&text);
    let skipped: Vec<_> = report
        .skipped
        .iter()
        .map(|s| (s.feature, s.reason))
        .collect();
    let expected = [
        (0, Skipped::NoCode),
        (1, Skipped::NoCode),
        (2, Skipped::NoCode),
        (3, Skipped::NoGeometry),
        (4, Skipped::NotAnArea),
        (5, Skipped::BadCoordinate),
        (8, Skipped::Malformed),
    ];
    assert_eq!(skipped, expected);
    assert_eq!(report.build.problems.len(), 1, "the ring without area");
    assert_eq!(index.municipality("17201").unwrap().polygons.len(), 1);
}

#[test]
fn other_properties_and_credits_can_be_named() {
    let options = ImportOptions {
        code_property: Some("code".into()),
        name_property: Some("nom".into()),
        credit: Some("© IGN".into()),
    };
    let text = feature(r#"{"code":64445,"nom":"Pau"}"#, &polygon(1));
    let import = import_text("pau", text.as_bytes(), &options).unwrap();
    assert_eq!(import.index.municipality("64445").unwrap().name, "Pau");
    assert_eq!(import.index.credit(), "© IGN");
    let unnamed = ImportOptions {
        credit: None,
        ..options
    };
    assert_eq!(
        import_text("pau", text.as_bytes(), &unnamed)
            .unwrap()
            .index
            .credit(),
        ""
    );
}

#[test]
fn coordinates_are_rounded_from_their_text() {
    let ring = "[[136.00000005,35],[137,35.12345675],[137,36],[136.00000005,35]]";
    let text = feature(
        r#"{"N03_007":"1"}"#,
        &format!(r#"{{"type":"Polygon","coordinates":[{ring}]}}"#),
    );
    let import = imported(&text);
    let points = import.index.municipality("1").unwrap().polygons[0]
        .outer
        .points()
        .to_vec();
    assert_eq!(points[0].to_string(), "35.0000000 136.0000001");
    assert_eq!(points[1].to_string(), "35.1234568 137.0000000");
}

#[test]
fn errors_name_the_file_and_the_remedy() {
    let check = |error: ImportError, words: &[&str]| {
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    let none = ImportOptions::default();
    let dir = tempfile::tempdir().unwrap();
    check(
        import(&[dir.path().join("absent.json")], &none).unwrap_err(),
        &["absent.json", "check the path"],
    );
    check(import(&[dir.path()], &none).unwrap_err(), &["0 files"]);
    let topology = dir.path().join("tokyo.topo.json");
    fs::write(&topology, r#"{"type":"Topology","objects":{}}"#).unwrap();
    check(
        import(&[&topology], &none).unwrap_err(),
        &["tokyo.topo.json", "`arcs`", "ogr2ogr"],
    );
    check(
        import(&[dir.path()], &none).unwrap_err(),
        &["N03_007", "--code-property"],
    );
    // In a directory a file that is not GeoJSON does not stop the others.
    fs::write(
        dir.path().join("a.geojson"),
        feature(r#"{"N03_007":"1"}"#, &polygon(1)),
    )
    .unwrap();
    let import = import(&[dir.path()], &none).unwrap();
    assert_eq!((import.report.files, import.report.unread.len()), (1, 1));
    let huge = dir.path().join("huge.json");
    File::create(&huge)
        .unwrap()
        .set_len(MAX_FILE_BYTES + 1)
        .unwrap();
    check(
        super::import(&[&huge], &none).unwrap_err(),
        &["huge.json", "256 MiB"],
    );
}

#[test]
fn a_file_of_too_many_features_or_too_long_ones_is_told() {
    let none = ImportOptions::default();
    let many = format!(
        r#"{{"type":"FeatureCollection","features":[0{}]}}"#,
        ",0".repeat(1_000_000)
    );
    let error = import_text("many.geojson", many.as_bytes(), &none).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("many.geojson: more than 1000000 features; import it in parts"),
        "{told}"
    );
    let book = "a".repeat(32 << 20);
    let long = feature(&format!(r#"{{"N03_007":"1","b":"{book}"}}"#), &polygon(136));
    let alone = import_text("long.geojson", long.as_bytes(), &none).unwrap_err();
    assert!(
        alone.to_string().contains("bytes in one feature"),
        "{alone}"
    );
    let good = feature(r#"{"N03_007":"17201"}"#, &polygon(137));
    let both = imported(&collection(&[long, good]));
    let skipped = &both.report.skipped;
    assert_eq!((skipped.len(), skipped[0].reason), (1, Skipped::TooLarge));
    assert!(both.index.municipality("17201").is_some());
}

/// The folder of recorded data, or `None` with a word about it: a newcomer's checkout passes without.
fn data() -> Option<PathBuf> {
    let given = std::env::var_os("CITY_NODE_TEST_DATA").map(PathBuf::from);
    let folder =
        given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    let there = folder.is_dir();
    if !there {
        eprintln!("skipped: no ../shared/data");
    }
    there.then_some(folder)
}

fn at(lat: &str, lon: &str) -> Point {
    Point::from_decimal(lat, lon).unwrap()
}

#[test]
fn the_capture_of_2008_was_recorded_in_hokuto() {
    let Some(data) = data() else { return };
    let yamanashi = data.join("boundaries/jp_s0010/N03-21_19_210101.json");
    let import = import(&[yamanashi], &ImportOptions::default()).unwrap();
    let location = import.index.locate(at("35.8729082", "138.3897868"), 10);
    assert_eq!(
        (location.code, location.name),
        (Some("19209"), Some("北杜市"))
    );
    assert_eq!(location.side, Side::Inside);
    let read = BoundaryIndex::decode(&import.index.encode()).unwrap();
    assert_eq!(read.digest(), import.index.digest());
}
