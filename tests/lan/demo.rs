//! `roundtable demo` on a machine without network, camera, sound and display.

use crate::common::peer::{PROGRAM, private};
use crate::common::sandbox::sandboxed;
use crate::common::stats::Stats;
use std::process::{Command, Stdio};

#[test]
fn demo_shows_its_people_to_each_other_and_to_the_viewer() {
    sandboxed("demo::demo_shows_its_people_to_each_other_and_to_the_viewer", || {
        let home = tempfile::tempdir().expect("temporary folder");
        let (stats, shot) = (home.path().join("s.json"), home.path().join("s.png"));
        let mut command = Command::new(PROGRAM);
        command.args(["demo", "--people", "3", "--headless", "--duration", "8"]);
        command.arg("--stats").arg(&stats).arg("--screenshot").arg(&shot);
        private(&mut command, &home);
        let ran = command.stdin(Stdio::null()).output().expect("start the program");
        println!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{}", ran.status);

        let text = std::fs::read_to_string(&stats).expect("statistics");
        let viewer = Stats(serde_json::from_str(&text).expect("JSON"));
        let people: Vec<Stats> = viewer.0["demo"].as_array().expect("demo").iter().cloned().map(Stats).collect();
        assert_eq!(people.len(), 3);
        for sender in &people {
            let name = sender.0["me"]["name"].as_str().expect("name");
            for watcher in people.iter().chain([&viewer]).filter(|w| w.0["me"]["id"] != sender.0["me"]["id"]) {
                // They begin when all see each other and end together, so the totals of a layer compare.
                let layer = watcher.person(name)["video"]["layer"].as_str().expect("a layer");
                let (sent, shown) = (sender.frames_sent_in(layer), watcher.frames_shown(name));
                assert!(sent > 60.0, "{name} sent {sent} frames of {layer} in 8 s");
                assert!(
                    shown + 1.0 >= sent * 0.95,
                    "{} shows {shown} of {sent} frames of {name}",
                    watcher.0["me"]["name"]
                );
            }
        }

        let picture = image::open(&shot).expect("the screenshot is a picture").to_rgb8();
        assert_eq!(picture.dimensions(), (1280, 720));
        let shades = picture.pixels().map(|p| p.0).collect::<std::collections::HashSet<_>>().len();
        assert!(shades > 1_000, "the screenshot has {shades} colours: no test cards in it");
    });
}
