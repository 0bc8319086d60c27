//! The surveyed antenna point as an argument.

use city_protocol::place::Survey;
use clap::Args;

use crate::config::{SURVEYED_RADIUS_M, point_of};

/// Where the antenna was measured to be.
#[derive(Debug, Args)]
pub(super) struct SurveyedArgs {
    /// The surveyed antenna point, decimal degrees.
    #[arg(long, value_name = "LAT,LON", allow_hyphen_values = true)]
    surveyed: Option<String>,
    /// How far from it positions may be, metres.
    #[arg(
        long,
        value_name = "METRES",
        requires = "surveyed",
        default_value_t = SURVEYED_RADIUS_M,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    surveyed_radius_m: u32,
}

impl SurveyedArgs {
    /// The point, if one is given.
    ///
    /// # Errors
    /// Text that is no point, in words.
    pub(super) fn survey(&self) -> anyhow::Result<Option<Survey>> {
        let Some(text) = &self.surveyed else {
            return Ok(None);
        };
        let point = point_of(text).ok_or_else(|| {
            anyhow::anyhow!(
                "--surveyed {text}: not a point; write decimal degrees such as 36.5613,136.6562"
            )
        })?;
        Ok(Some(Survey {
            point,
            radius_m: self.surveyed_radius_m,
        }))
    }
}
