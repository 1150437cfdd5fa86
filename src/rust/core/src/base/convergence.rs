//! Why an iteration came to its end.

/// Why a fit stopped.  One vocabulary for all methods; each uses the part of it
/// that its rule of stopping can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The answer is found without iterations.
    Direct,
    /// The bound on the distance to the optimum is below the tolerance.
    Certified,
    /// The decrease that is still promised is below the tolerance, where no
    /// bound is known.
    Stationary,
    /// The objective changed by less than the tolerance.
    Converged,
    /// The clusters have not changed for long (Brunet's rule).
    Connectivity,
    /// Rounding forbids further progress before the tolerance is met.
    Stalled,
    /// The iterations were used up first.
    MaxIterations,
    /// Alternations with something else, such as the noise, were used up first.
    MaxRounds,
}

impl Stop {
    pub fn name(self) -> &'static str {
        match self {
            Stop::Direct => "direct",
            Stop::Certified => "certified",
            Stop::Stationary => "stationary",
            Stop::Converged => "converged",
            Stop::Connectivity => "connectivity",
            Stop::Stalled => "stalled",
            Stop::MaxIterations => "max_iter",
            Stop::MaxRounds => "rounds",
        }
    }
}
