//! `peer cleanup`: what is over goes.

use serde_json::json;

use super::super::exit::{Exit, Outcome};
use super::super::output;
use super::super::trusted::{Common, Trusted, with};

pub(super) fn run(common: &Common) -> Outcome {
    let page = with(common, Trusted::clean_up)?;
    if common.json {
        output::object(json!({
            "entries": page.entries, "recommendations": page.recommendations, "requests": page.requests,
            "certificates": page.certificates, "messages": page.messages,
        }))?;
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    for peer in &page.entries {
        text += &format!("{peer} had expired and is taken off\n");
    }
    text += &format!(
        "entries {}, recommendations {}, requests {}, certificates {}, remembered messages {}\n",
        page.entries.len(),
        page.recommendations,
        page.requests,
        page.certificates,
        page.messages,
    );
    output::text(&text)?;
    Ok(Exit::Ok)
}
