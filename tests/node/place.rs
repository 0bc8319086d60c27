//! Outlines as others publish them, through `place import` and `place locate`: recorded ones of Japan and France where they
//! are, and files that the tests write.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use city_node::place::import::{Import, ImportOptions, Skipped, import};
use city_node::place::outlines::DEMO_CITIES;
use city_protocol::place::{BoundaryIndex, Grade, Point};
use shapefile::dbase::encoding::DynEncoding;
use shapefile::dbase::{FieldValue, Record, TableWriterBuilder};
use shapefile::{Polygon, PolygonRing, Writer};

use crate::account::text;
use crate::cli::{expect, json, run, stderr, stdout};
use crate::recorded::data;
use crate::tx::Town;

/// Where the offices' table and the outlines differ, as code of the table, code of the outlines, and why. A change of
/// either, or of a verdict, fails.
const DIFFERENT: [(&str, &str, &str); 4] = [
    (
        "01100",
        "01101",
        "札幌市: N03 has outlines of a designated city's wards only",
    ),
    ("14100", "14104", "横浜市: the same"),
    ("22130", "22131", "浜松市: the same; wards of before 2024"),
    ("28100", "28110", "神戸市: the same"),
];
/// Share of points on which the sources themselves agree, in parts of 1,000.
const AGREED: usize = 994;

fn imported<P: AsRef<Path>>(paths: &[P]) -> Import {
    import(paths, &ImportOptions::default()).unwrap()
}

fn at(lat: &str, lon: &str) -> Point {
    Point::from_decimal(lat, lon).unwrap()
}

fn code(index: &BoundaryIndex, point: Point) -> Option<&str> {
    index
        .owner(point)
        .map(|municipality| municipality.code.as_str())
}

#[test]
fn towns_and_offices_of_japan_lie_where_independent_sources_say() {
    let Some(data) = data() else { return };
    let place = tempfile::tempdir().unwrap();
    let outlines = data.join("boundaries/jp_s0010");
    // The folder also holds a file of prefectures, whose features have no municipality's code.
    let told = json(
        place.path(),
        0,
        &[
            "place",
            "import",
            outlines.to_str().unwrap(),
            "--out",
            "japan.cbor",
            "--json",
        ],
    );
    let report = &told["report"];
    assert_eq!(
        (&report["files"], &report["build"]["municipalities"]),
        (&48.into(), &1902.into())
    );
    assert!(
        told["credit"].as_str().unwrap().contains("国土数値情報"),
        "{told}"
    );
    let skipped = report["skipped"].as_array().unwrap().iter();
    let file = |skipped: &serde_json::Value| skipped["file"].as_str().unwrap().to_owned();
    let unassigned: Vec<_> = skipped
        .filter(|skipped| !file(skipped).ends_with("prefectures.json"))
        .collect();
    assert_eq!(unassigned.len(), 4, "unassigned land: {unassigned:?}");

    let (mut checked, mut different) = (0, Vec::new());
    for table in ["jp_towns_dev.csv", "jp_cityhalls_dev.csv"] {
        let table = data.join("points").join(table);
        let batch = ["place", "locate", "--boundaries", "japan.cbor", "--batch"];
        let answers = expect(
            place.path(),
            0,
            &[&batch[..], &[table.to_str().unwrap()]].concat(),
        );
        let rows = fs::read_to_string(&table).unwrap();
        let rows: Vec<&str> = rows.lines().skip(1).collect();
        assert_eq!(answers.lines().count(), rows.len());
        for (row, answer) in rows.iter().zip(answers.lines()) {
            let column =
                |line: &str, number: usize| line.split(',').nth(number).unwrap().to_owned();
            let (expected, found) = (column(row, 0), column(answer, 0));
            assert!(
                ["inside", "border"].contains(&&*column(answer, 2)),
                "{row}: {answer}"
            );
            checked += 1;
            if expected != found {
                different.push((expected, found));
            }
        }
    }
    let known: Vec<(String, String)> = DIFFERENT
        .map(|(table, outlines, _)| (table.into(), outlines.into()))
        .into();
    assert_eq!(different, known);
    assert_eq!(checked, 1895 + 192);
    assert!((checked - different.len()) * 1000 >= AGREED * checked);

    let index = BoundaryIndex::decode(&fs::read(place.path().join("japan.cbor")).unwrap()).unwrap();
    for city in DEMO_CITIES {
        assert_eq!(
            code(&index, city.point()),
            city.region.rsplit('/').next(),
            "{}",
            city.name
        );
    }
    // Names, codes and the heap's own needs come on top; the benchmark counts them.
    assert!(
        index.memory_bytes() < 20_000_000,
        "{}",
        index.memory_bytes()
    );
}

#[test]
fn seven_holes_and_an_exclave() {
    let Some(data) = data() else { return };
    let full = ["46221", "46468", "30427", "29449", "24562"];
    let file = |code: &str| data.join(format!("boundaries/jp_full/N03-22_{code}.geojson"));
    let index = imported(&full.map(file)).index;
    let osaki = index.municipality("46468").unwrap();
    let mut filled = 0;
    for hole in osaki.polygons.iter().flat_map(|polygon| &polygon.holes) {
        let (low, high) = hole.bounds();
        // Some point of a grid over the hole's box lies in it: there 志布志市 must be, and on its rim the lower code.
        let inner = (1..20)
            .flat_map(|i| (1..20).map(move |j| (i, j)))
            .map(|(i, j)| {
                let part = |low: i32, high: i32, n: i32| low + (high - low) / 20 * n;
                let lat = part(low.lat_e7(), high.lat_e7(), i);
                Point::new(lat, part(low.lon_e7(), high.lon_e7(), j)).unwrap()
            });
        let owners: BTreeSet<_> = inner.map(|point| code(&index, point)).collect();
        assert!(owners.contains(&Some("46221")), "{low} {high}: {owners:?}");
        assert!(
            owners.is_subset(&[Some("46221"), Some("46468")].into()),
            "{low} {high}: {owners:?}"
        );
        assert_eq!(code(&index, hole.points()[0]), Some("46221"));
        filled += 1;
    }
    assert_eq!(filled, 7);
    // 北山村 of 和歌山, between 奈良 and 三重: its neighbours on all sides are of other prefectures.
    let village = index.municipality("30427").unwrap();
    assert_eq!(village.name, "東牟婁郡北山村");
    assert_eq!(code(&index, at("33.9326", "135.9700")), Some("30427"));
    let rim = village
        .polygons
        .iter()
        .flat_map(|polygon| polygon.outer.points());
    let shared = rim
        .filter(|&&point| matches!(code(&index, point), Some("29449" | "24562")))
        .count();
    assert!(shared > 100, "{shared} corners are shared with lower codes");
}

#[test]
fn every_island_is_its_municipality_s() {
    let Some(data) = data() else { return };
    // 竹富町 has 170 parts, 石垣市 lies between them on other islands; the sea between is nobody's.
    let file = data.join("boundaries/jp_full/N03-22_47381.geojson");
    let index = imported(&[file]).index;
    let taketomi = index.municipality("47381").unwrap();
    assert_eq!(taketomi.polygons.len(), 170);
    for part in &taketomi.polygons {
        for &corner in part.outer.points().iter().step_by(37) {
            assert_eq!(code(&index, corner), Some("47381"), "{corner}");
            assert_eq!(index.locate(corner, 0).distance_m, 0);
        }
    }
    assert_eq!(
        code(&index, at("24.3365", "124.1558")),
        None,
        "石垣市's office"
    );
}

#[test]
fn tokyo_as_topojson_is_tokyo_as_geojson() {
    let Some(data) = data() else { return };
    let topology = imported(&[data.join("boundaries/jp_topojson/N03-21_13_210101.topo.json")]);
    let plain = imported(&[data.join("boundaries/jp_s0010/N03-21_13_210101.json")]).index;
    let codes = |index: &BoundaryIndex| -> Vec<_> {
        let parts = index.municipalities().iter();
        parts
            .map(|m| (m.code.clone(), m.name.clone(), m.polygons.len()))
            .collect()
    };
    assert_eq!(codes(&topology.index), codes(&plain));
    assert_eq!(topology.report.features, 63);
    // Its quantum is 5 m: farther from a border than that the verdict is the same.
    let mut checked = 0;
    for (lat, lon) in (0..60).flat_map(|lat| (0..120).map(move |lon| (lat, lon))) {
        let point = Point::new(355_200_000 + lat * 50_000, 1_389_500_000 + lon * 80_000).unwrap();
        let expected = plain.locate(point, 8);
        if expected.distance_m <= 8 {
            continue;
        }
        assert_eq!(code(&topology.index, point), expected.code, "{point}");
        checked += usize::from(expected.code.is_some());
    }
    assert!(checked > 2000, "{checked}");
}

#[test]
fn communes_of_another_country_come_in_by_property() {
    let Some(data) = data() else { return };
    let place = tempfile::tempdir().unwrap();
    let communes = data.join("boundaries/fr_communes");
    let import = [
        "place",
        "import",
        communes.to_str().unwrap(),
        "--out",
        "pau.cbor",
        "--code-property",
        "code",
        "--name-property",
        "nom",
        "--credit",
        "IGN Admin Express, Licence Ouverte",
    ];
    let told = expect(place.path(), 0, &import);
    assert!(told.contains("credit: IGN Admin Express"), "{told}");
    let locate = [
        "place",
        "locate",
        "43.2951",
        "-0.3708",
        "--boundaries",
        "pau.cbor",
        "--json",
    ];
    let pau = json(place.path(), 0, &locate);
    assert_eq!(
        (&pau["code"], &pau["name"]),
        (&"64445".into(), &"Pau".into())
    );
    let again = run(place.path(), &import);
    assert_eq!(again.status.code(), Some(1), "the index is there already");
}

#[test]
fn what_is_imported_is_asked_without_a_word_more() {
    let place = tempfile::tempdir().unwrap();
    let locate = ["place", "locate", "0.5", "0.5", "--json"];
    let missing = run(place.path(), &locate);
    assert_eq!(missing.status.code(), Some(1));
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(said.contains("place import"), "{said}");
    let outlines = geojson(&[("1", "正方市", vec![vec![square(0.0, 0.0, 1.0)]])]);
    fs::write(place.path().join("a.geojson"), outlines).unwrap();
    expect(place.path(), 0, &["place", "import", "a.geojson"]);
    let found = json(place.path(), 0, &locate);
    assert_eq!(found["name"], "正方市");
}

/// A square's corners, counter-clockwise, closed: GeoJSON's sense. Degrees.
fn square(south: f64, west: f64, size: f64) -> Vec<[f64; 2]> {
    vec![
        [west, south],
        [west + size, south],
        [west + size, south + size],
        [west, south + size],
        [west, south],
    ]
}

/// Code, name, and a polygon's rings of longitude and latitude.
type Feature<'a> = (&'a str, &'a str, Vec<Vec<Vec<[f64; 2]>>>);

fn geojson(features: &[Feature<'_>]) -> String {
    let features: Vec<_> = features
        .iter()
        .map(|(code, name, polygons)| {
            serde_json::json!({
                "type": "Feature",
                "properties": { "N03_004": name, "N03_007": code },
                "geometry": { "type": "MultiPolygon", "coordinates": polygons },
            })
        })
        .collect();
    serde_json::json!({ "type": "FeatureCollection", "features": features }).to_string()
}

/// Writes a Shapefile of the same form as 国土数値情報's.
fn shapefile(
    path: &Path,
    encoding: &str,
    features: &[(&str, &str, Vec<PolygonRing<shapefile::Point>>)],
) {
    let table = TableWriterBuilder::with_encoding(DynEncoding::from_name(encoding).unwrap())
        .add_character_field("N03_004".try_into().unwrap(), 40)
        .add_character_field("N03_007".try_into().unwrap(), 5);
    let mut writer = Writer::from_path(path, table).unwrap();
    for (code, name, rings) in features {
        let mut record = Record::default();
        record.insert(
            "N03_004".into(),
            FieldValue::Character(Some((*name).into())),
        );
        record.insert(
            "N03_007".into(),
            FieldValue::Character(Some((*code).into())),
        );
        let shape = Polygon::with_rings(rings.clone());
        writer.write_shape_and_record(&shape, &record).unwrap();
    }
}

#[test]
fn a_shapefile_says_what_geojson_says_in_either_encoding() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    // 金沢市 with an enclave of 津幡町 in it and an island in the enclave, rings in one heap.
    let (outer, hole, island) = (
        square(36.0, 136.0, 1.0),
        square(36.25, 136.25, 0.5),
        square(36.5, 136.5, 0.125),
    );
    let inner_hole = |ring: &[[f64; 2]]| ring.iter().rev().copied().collect::<Vec<_>>();
    let text = geojson(&[
        (
            "17201",
            "金沢市",
            vec![vec![outer.clone(), inner_hole(&hole)], vec![island.clone()]],
        ),
        (
            "17361",
            "津幡町",
            vec![vec![hole.clone(), inner_hole(&island)]],
        ),
    ]);
    fs::write(path("plain.geojson"), text).unwrap();
    let plain = imported(&[path("plain.geojson")]).index;

    let points = |ring: &[[f64; 2]]| {
        ring.iter()
            .map(|&[x, y]| shapefile::Point::new(x, y))
            .collect::<Vec<_>>()
    };
    let kanazawa = vec![
        PolygonRing::Outer(points(&island)),
        PolygonRing::Inner(points(&hole)),
        PolygonRing::Outer(points(&outer)),
    ];
    let tsubata = vec![
        PolygonRing::Outer(points(&hole)),
        PolygonRing::Inner(points(&island)),
    ];
    let features = [("17201", "金沢市", kanazawa), ("17361", "津幡町", tsubata)];
    for (name, encoding) in [("utf8.shp", "UTF-8"), ("sjis.shp", "Shift_JIS")] {
        shapefile(&path(name), encoding, &features);
        let read = imported(&[path(name)]);
        assert_eq!(
            read.index.digest(),
            plain.digest(),
            "{name}: {:?}",
            read.index
        );
        assert_eq!((read.report.files, read.report.features), (1, 2));
    }
    // Neither a code page in the table nor a file beside it: Shift_JIS is seen by what is no UTF-8, and a word wins.
    let mut table = fs::read(path("sjis.dbf")).unwrap();
    table[29] = 0;
    fs::write(path("sjis.dbf"), &table).unwrap();
    assert_eq!(imported(&[path("sjis.shp")]).index.digest(), plain.digest());
    fs::write(path("sjis.cpg"), "932\r\n").unwrap();
    assert_eq!(imported(&[path("sjis.shp")]).index.digest(), plain.digest());

    // A directory of all of them: the same outlines again are told and counted once.
    let all = imported(&[place.path()]);
    assert_eq!((all.report.files, all.index.digest()), (3, plain.digest()));
    assert!(!all.report.build.problems.is_empty());

    fs::write(
        path("utf8.prj"),
        "PROJCS[\"JGD2011 / Japan Plane Rectangular CS VII\"]",
    )
    .unwrap();
    let error = import(&[path("utf8.shp")], &ImportOptions::default()).unwrap_err();
    assert!(error.to_string().contains("EPSG:4326"), "{error}");
    fs::remove_file(path("sjis.dbf")).unwrap();
    let error = import(&[path("sjis.shp")], &ImportOptions::default()).unwrap_err();
    assert!(error.to_string().contains(".dbf"), "{error}");
    // In a directory they do not stop what can be read.
    let all = imported(&[place.path()]);
    assert_eq!((all.report.files, all.report.unread.len()), (1, 2));
}

#[test]
fn no_prefix_of_a_shapefile_and_no_changed_byte_stops_the_program() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("town.shp");
    let ring = square(36.0, 136.0, 1.0)
        .iter()
        .map(|&[x, y]| shapefile::Point::new(x, y))
        .collect();
    shapefile(
        &path,
        "UTF-8",
        &[("17201", "金沢市", vec![PolygonRing::Outer(ring)])],
    );
    for extension in ["shp", "shx", "dbf"] {
        let path = path.with_extension(extension);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            fs::write(&path, &whole[..at]).unwrap();
            drop(import(
                &[path.with_extension("shp")],
                &ImportOptions::default(),
            ));
            for bits in [0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= bits;
                fs::write(&path, &changed).unwrap();
                drop(import(
                    &[path.with_extension("shp")],
                    &ImportOptions::default(),
                ));
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(imported(&[path]).index.municipalities().len(), 1);
}

#[test]
fn arcs_are_shared_turned_and_missing() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("two.topojson");
    let topology = r#"{"type":"Topology","credit":"出典","arcs":[[[0,0],[10,0]],[[10,0],[10,10],[0,10],[0,0]],[[10,0],[0,-10],[0,0]],[[0,0],[999,0],[0,1]]],
        "objects":{"towns":{"type":"GeometryCollection","geometries":[
            {"type":"Polygon","properties":{"N03_007":"1"},"arcs":[[0,1]]},
            {"type":"MultiPolygon","properties":{"N03_007":"2"},"arcs":[[[-3,-1,0,2]],[[2,0]]]},
            {"type":"Polygon","properties":{"N03_007":"3"},"arcs":[[0,7]]},
            {"type":"Polygon","properties":{"N03_007":"3"},"arcs":[[-9223372036854775808]]},
            {"type":"Polygon","properties":{"N03_007":"3"},"arcs":["x"]},
            {"type":"Polygon","properties":{"N03_007":"3"},"arcs":[[3]]},
            {"type":"LineString","properties":{"N03_007":"3"},"arcs":[0]},
            {"type":null,"properties":{"N03_007":"3"}}]}}}"#;
    fs::write(&path, topology).unwrap();
    let Import { index, report } = imported(&[path]);
    assert_eq!(index.credit(), "出典");
    assert_eq!(code(&index, at("5", "5")), Some("1"));
    assert_eq!(code(&index, at("0", "5")), Some("1"), "the shared arc");
    assert_eq!(code(&index, at("-1", "2")), Some("2"));
    let why: Vec<_> = report
        .skipped
        .iter()
        .map(|skipped| (skipped.feature, skipped.reason))
        .collect();
    let expected = [
        (2, Skipped::Malformed),
        (3, Skipped::Malformed),
        (4, Skipped::Malformed),
        (5, Skipped::BadCoordinate),
        (6, Skipped::NotAnArea),
        (7, Skipped::NoGeometry),
    ];
    assert_eq!(why, expected);
}

#[test]
fn the_antimeridian_is_one_line_and_a_pole_one_point() {
    let place = tempfile::tempdir().unwrap();
    let cap: Vec<_> = [
        [-180.0, -80.0],
        [180.0, -80.0],
        [180.0, -90.0],
        [-180.0, -90.0],
        [-180.0, -80.0],
    ]
    .into();
    let text = geojson(&[
        // Taveuni in Fiji, cut at the antimeridian as RFC 7946 asks, and a cap around the south pole.
        (
            "1",
            "Taveuni",
            vec![
                vec![square(-17.0, 179.5, 0.5)],
                vec![square(-17.0, -180.0, 0.5)],
            ],
        ),
        ("2", "Cap", vec![vec![cap]]),
    ]);
    fs::write(place.path().join("fiji.geojson"), text).unwrap();
    let points = "-16.75,179.75\n-16.75,180\n-16.75,-180\n-16.75,-179.75\n-16.75,-179.4\n-90,0\n-90,180\n-90,-77.7\n-85,180\n-85,0\n90,0\n";
    fs::write(place.path().join("points.csv"), points).unwrap();
    let batch = [
        "place",
        "locate",
        "--boundaries",
        "fiji.geojson",
        "--batch",
        "points.csv",
    ];
    let answers = expect(place.path(), 0, &batch);
    let codes: Vec<_> = answers
        .lines()
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!(codes, ["1", "1", "1", "1", "", "2", "2", "2", "2", "2", ""]);
}

#[test]
fn a_batch_from_a_pipe_says_which_lines_are_no_points() {
    let place = tempfile::tempdir().unwrap();
    fs::write(
        place.path().join("points.csv"),
        "lat,lon\n36.5613,136.6562\n36,5613\nfar,away\n0,0\n",
    )
    .unwrap();
    let batch = [
        "place",
        "locate",
        "--coarse-demo-boundaries",
        "--accuracy",
        "100000",
        "--batch",
        "points.csv",
    ];
    let output = run(place.path(), &batch);
    assert_eq!(output.status.code(), Some(1));
    let sides: Vec<_> = stdout(&output)
        .lines()
        .map(|line| line.split(',').nth(2).unwrap())
        .collect();
    assert_eq!(sides, ["border", "error", "error", "outside"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("line 4") && told.contains("2 of 4 lines"),
        "{told}"
    );
    let output = run(place.path(), &[&batch[..], &["36", "136"]].concat());
    assert_eq!(output.status.code(), Some(2), "one point or a file of them");
}

#[test]
fn a_shapefile_that_names_one_shape_many_times_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    let path = at.join("town.shp");
    let ring = vec![
        shapefile::Point::new(136.0, 36.0),
        shapefile::Point::new(136.0, 37.0),
        shapefile::Point::new(137.0, 37.0),
        shapefile::Point::new(137.0, 36.0),
        shapefile::Point::new(136.0, 36.0),
    ];
    let feature = ("17201", "金沢市", vec![PolygonRing::Outer(ring)]);
    shapefile(&path, "UTF-8", &[feature]);
    expect(at, 0, &["place", "import", "town.shp", "--out", "a.cbor"]);
    let index = path.with_extension("shx");
    let whole = fs::read(&index).unwrap();
    let entry = whole[100..108].to_vec();
    let mut many = [whole, entry.repeat(1_000_000)].concat();
    let words = u32::try_from(many.len() / 2).unwrap();
    many[24..28].copy_from_slice(&words.to_be_bytes());
    fs::write(&index, many).unwrap();
    let output = run(at, &["place", "import", "town.shp", "--out", "b.cbor"]);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(
        told.contains("town.shp") && told.contains("more than once"),
        "{told}"
    );
    assert!(!at.join("b.cbor").exists());
}

fn with<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [command, more].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebodys_own_word_counts_where_the_policy_takes_it_and_nowhere_else() {
    let mut town = Town::with_two_people().await;
    town.grant();
    let page = town.file("home.json");
    fs::write(&page, town.at_home(&["account", "policy", "--json"])).unwrap();
    let draft = town.draft("d.json", "1.00", &["--home", text(&page)]);
    let wallet = town.file("chiyo.wallet");
    let send = ["tx", "send", text(&draft), "--wallet", text(&wallet)];
    let kanazawa = ["--lat", "36.5613", "--lon", "136.6562", "--accuracy", "10"];

    // The antenna is good, and says nothing of somebody far away.
    let (code, told) = town.ask(&with(&send, &kanazawa));
    assert_eq!(code, 4, "{told}");
    for word in [
        "place claimed in 17201",
        "client-claim",
        "place-insufficient",
        "policy.required",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }

    town.city.config.place.policy.required = Grade::Claimed;
    town.city.configure();
    town.node.signal("-TERM");
    town.node.end().await;
    town.node = town.city.ready().await;
    let komatsu = ["--lat", "36.4082", "--lon", "136.4455", "--accuracy", "10"];
    let (code, told) = town.ask(&with(&send, &komatsu));
    assert!(code == 4 && told.contains("outside"), "{told}");
    let vague = [&kanazawa[..5], &["60"]].concat();
    let (code, told) = town.ask(&with(&send, &vague));
    assert!(code == 4 && told.contains("accuracy-low"), "{told}");
    let (code, told) = town.ask(&with(&send, &["--lat", "91", "--lon", "0"]));
    assert!(code == 1 && told.contains("not a point"), "{told}");
    let (code, _usage) = town.ask(&with(&send, &["--lat", "36.5613"]));
    assert_eq!(code, 2);
    let receipt = town.file("claimed.receipt");
    let with_receipt = [&kanazawa[..], &["--receipt", text(&receipt)]].concat();
    let sent = town.json(&with(&send, &with_receipt));
    assert_eq!(
        (&sent["sent"], &sent["place"]),
        (&true.into(), &"claimed".into()),
        "{sent}"
    );
    let genesis = town.city.data.genesis();
    let verify = [
        "tx",
        "verify-receipt",
        text(&receipt),
        "--json",
        "--genesis",
        text(&genesis),
    ];
    let held: serde_json::Value = serde_json::from_str(&town.good(&verify)).unwrap();
    assert_eq!(
        (&held["valid"], &held["place"]),
        (&true.into(), &"claimed".into()),
        "{held}"
    );
    let signed = town.file("d.json.signed");
    let signed = [&["tx", "send", text(&signed)][..], &kanazawa].concat();
    let (code, told) = town.ask(&signed);
    assert!(code == 1 && told.contains("signed already"), "{told}");
    town.node.check().await;
    let (_root, node) = town.into_stopping();
    node.stop().await;
}
