//! What a run took, and what several of them come to.

/// What a run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// From its begin to its end.
    pub(crate) seconds: f64,
    /// CPU seconds of the server, in user and kernel.
    pub(crate) server_cpu: f64,
    /// CPU seconds of the clients.
    pub(crate) client_cpu: f64,
    /// Resident memory of the server when it was ready, in KiB.
    pub(crate) server_start: u64,
    /// Resident memory of the server when all was done, in KiB.
    pub(crate) server_rest: u64,
    /// Peak memory of the server, in KiB.
    pub(crate) server_peak: u64,
    /// Resident memory of a client that goes on when all is done, in KiB; of the largest, if there are several.
    pub(crate) client_rest: u64,
    /// Peak memory of the clients, in KiB.
    pub(crate) client_peak: u64,
    /// How many files a server of this project has read that were not sent to it.
    pub(crate) files_read: u64,
}

impl Usage {
    /// The median of each value for itself.
    pub(crate) fn median(runs: &[Usage]) -> Usage {
        let of_times = |of: fn(&Usage) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            quantile(&values, 0.5)
        };
        let of_sizes = |of: fn(&Usage) -> u64| {
            let mut values: Vec<u64> = runs.iter().map(of).collect();
            values.sort_unstable();
            quantile(&values, 0.5)
        };
        Usage {
            seconds: of_times(|run| run.seconds),
            server_cpu: of_times(|run| run.server_cpu),
            client_cpu: of_times(|run| run.client_cpu),
            server_start: of_sizes(|run| run.server_start),
            server_rest: of_sizes(|run| run.server_rest),
            server_peak: of_sizes(|run| run.server_peak),
            client_rest: of_sizes(|run| run.client_rest),
            client_peak: of_sizes(|run| run.client_peak),
            files_read: of_sizes(|run| run.files_read),
        }
    }
}

/// Of sorted values, the smallest one that is not exceeded by this part of them (nearest rank). Zero if there are none.
pub(crate) fn quantile<T: Copy + Default>(sorted: &[T], part: f64) -> T {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Seconds, as people read them.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        ..1.0 => format!("{:.1} ms", seconds * 1e3),
        ..100.0 => format!("{seconds:.2} s"),
        _ => format!("{seconds:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_or_four() {
        for (seconds, text) in
            [(0.0, "0.0 ms"), (0.01234, "12.3 ms"), (1.0, "1.00 s"), (12.345, "12.35 s"), (223.4, "223 s")]
        {
            assert_eq!(time(seconds), text);
        }
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (values, part, expected) in [
            (&hundred[..], 0.5, 50),
            (&hundred[..], 0.99, 99),
            (&hundred[..5], 0.5, 3),
            (&hundred[..1], 0.99, 1),
            (&[], 0.5, 0),
        ] {
            assert_eq!(quantile(values, part), expected, "{part} of {}", values.len());
        }
    }

    #[test]
    fn a_median_is_taken_of_each_value_for_itself() {
        let run = |seconds, server_peak| Usage { seconds, server_peak, ..Usage::default() };
        let median = Usage::median(&[run(3.0, 10), run(1.0, 30), run(2.0, 20)]);
        assert_eq!((median.seconds, median.server_peak), (2.0, 20));
    }
}
