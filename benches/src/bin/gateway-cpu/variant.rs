/// How much of Mainstay a gateway has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    None,
    /// None of it either, but tower's time-out around the client: the least that a gateway must have.
    TimeOut,
    /// The same jobs done by others: a breaker and a time-out around the client; a limit that sheds, and metrics, around the
    /// handler.
    Peers,
    /// A breaker around the client, with its deadline.
    Guard,
    /// Degradation around the handler: decision, shed, observed. With health, whose probes are routes.
    Layers,
    /// Both, and metrics that are published and rendered once a second.
    All,
}

impl Variant {
    pub(crate) const ALL: [Self; 6] =
        [Self::None, Self::TimeOut, Self::Peers, Self::Guard, Self::Layers, Self::All];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::TimeOut => "time-out",
            Self::Peers => "peers",
            Self::Guard => "guard",
            Self::Layers => "layers",
            Self::All => "all",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|variant| variant.as_str() == text);
        known.ok_or_else(|| format!("there is no variant {text:?}"))
    }

    /// In a table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::None => "none of Mainstay",
            Self::TimeOut => "none of it, but tower's `Timeout` around the client",
            Self::Peers => {
                "none of it, but tower's `Timeout` and tower-resilience's breaker around the client; around the handler tower's \
                 `LoadShed` and `ConcurrencyLimit`, a histogram and a counter"
            }
            Self::Guard => "`HttpLayer` around the client, with its deadline",
            Self::Layers => "health, `DecisionLayer`, `ShedLayer`, `ObserveLayer`",
            Self::All => "all of it, and metrics once a second",
        }
    }

    pub(crate) fn guards(self) -> bool {
        matches!(self, Self::Guard | Self::All)
    }

    /// Whether it has metrics that are read once a second.
    pub(crate) fn is_metered(self) -> bool {
        matches!(self, Self::Peers | Self::All)
    }

    pub(crate) fn degrades(self) -> bool {
        matches!(self, Self::Layers | Self::All)
    }
}
