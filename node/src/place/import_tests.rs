//! Importing small files written here, and, where they are, the recorded outlines of Japan and France.

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
        &["tokyo.topo.json", "ogr2ogr"],
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

#[test]
fn towns_and_offices_lie_where_independent_sources_say() {
    let Some(data) = data() else { return };
    // All of Japan; the folder also holds a file of prefectures, whose features have no municipality's code.
    let import = import(
        &[data.join("boundaries/jp_s0010")],
        &ImportOptions::default(),
    )
    .unwrap();
    assert_eq!(
        (import.report.files, import.index.municipalities().len()),
        (48, 1902)
    );
    let file = |s: &SkippedFeature| s.file.ends_with("prefectures.json");
    let elsewhere = import.report.skipped.iter().filter(|s| !file(s)).count();
    assert_eq!(elsewhere, 4, "unassigned land: {:?}", import.report.skipped);
    // Column numbers of code, latitude, longitude, status; rows on which the sources agree.
    for (name, columns, expected) in [
        ("jp_towns_dev.csv", [0, 5, 6, 8], 1895),
        ("jp_cityhalls_dev.csv", [0, 3, 4, 7], 188),
    ] {
        let table = fs::read_to_string(data.join("points").join(name)).unwrap();
        let mut checked = 0;
        for line in table.lines().skip(1) {
            let fields: Vec<_> = line.split(',').collect();
            let [code, lat, lon, status] = columns.map(|column| fields[column]);
            if status != "agree" {
                continue;
            }
            assert_eq!(
                import.index.locate(at(lat, lon), 0).code,
                Some(code),
                "{line}"
            );
            checked += 1;
        }
        assert!(
            checked >= expected,
            "{name}: only {checked} rows were checked"
        );
    }
    for city in super::super::outlines::DEMO_CITIES {
        let code = import.index.locate(city.point(), 0).code;
        assert_eq!(code, city.region.rsplit('/').next(), "{}", city.name);
    }
}

#[test]
fn seven_holes_and_an_exclave() {
    let Some(data) = data() else { return };
    let full = ["46221", "46468", "30427", "29449", "24562"];
    let file = |code: &str| data.join(format!("boundaries/jp_full/N03-22_{code}.geojson"));
    let import = import(&full.map(file), &ImportOptions::default()).unwrap();
    let holes = import
        .index
        .municipality("46468")
        .unwrap()
        .polygons
        .iter()
        .flat_map(|p| &p.holes);
    let mut filled = 0;
    for hole in holes {
        let (low, high) = hole.bounds();
        // Some point of a grid over the hole's box lies in it: there 志布志市 must be, and on its rim the lower code.
        let inner = (1..20)
            .flat_map(|i| (1..20).map(move |j| (i, j)))
            .map(|(i, j)| {
                let part = |low: i32, high: i32, n: i32| low + (high - low) / 20 * n;
                Point::new(
                    part(low.lat_e7(), high.lat_e7(), i),
                    part(low.lon_e7(), high.lon_e7(), j),
                )
                .unwrap()
            });
        let owners: BTreeSet<_> = inner
            .map(|point| import.index.locate(point, 0).code)
            .collect();
        assert!(owners.contains(&Some("46221")), "{low} {high}: {owners:?}");
        assert!(
            owners.is_subset(&[Some("46221"), Some("46468")].into()),
            "{low} {high}: {owners:?}"
        );
        assert_eq!(import.index.locate(hole.points()[0], 0).code, Some("46221"));
        filled += 1;
    }
    assert_eq!(filled, 7);
    // 北山村 of 和歌山, between 奈良 and 三重: its neighbours on all sides are of other prefectures.
    let village = import.index.municipality("30427").unwrap();
    assert_eq!(village.name, "東牟婁郡北山村");
    assert_eq!(
        import.index.locate(at("33.9326", "135.9700"), 0).code,
        Some("30427")
    );
    let rim = village.polygons.iter().flat_map(|p| p.outer.points());
    let shared = rim
        .filter(|&&p| matches!(import.index.locate(p, 0).code, Some("29449" | "24562")))
        .count();
    assert!(shared > 100, "{shared} corners are shared with lower codes");
}

#[test]
fn communes_of_another_country_come_in_by_property() {
    let Some(data) = data() else { return };
    let options = ImportOptions {
        code_property: Some("code".into()),
        name_property: Some("nom".into()),
        credit: None,
    };
    let import = import(&[data.join("boundaries/fr_communes")], &options).unwrap();
    let pau = import.index.locate(at("43.2951", "-0.3708"), 0);
    assert_eq!((pau.code, pau.name), (Some("64445"), Some("Pau")));
}
