"""The readers of datasets: one module per `kind`, as :mod:`trulysafe.data.sources` describes it; helpers begin with an
underscore."""
