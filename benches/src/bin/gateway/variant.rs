/// How much of Mainstay a gateway has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    None,
    /// A breaker around the client, with its deadline.
    Guard,
    /// Degradation around the handler: decision, shed, observed. With health, whose probes are routes.
    Layers,
    /// Both, and metrics that are published and rendered once a second.
    All,
}

impl Variant {
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Guard, Self::Layers, Self::All];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
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
            Self::Guard => "`HttpLayer` around the client, with its deadline",
            Self::Layers => "health, `DecisionLayer`, `ShedLayer`, `ObserveLayer`",
            Self::All => "all of it, and metrics once a second",
        }
    }

    pub(crate) fn guards(self) -> bool {
        matches!(self, Self::Guard | Self::All)
    }

    pub(crate) fn degrades(self) -> bool {
        matches!(self, Self::Layers | Self::All)
    }
}
