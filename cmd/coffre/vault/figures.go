package vault

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coffre/domain"
	"coffre/handlers/contract"
)

// Figures that are scraped are counted once a day: whoever watched them closely would see when
// one person came.
const (
	figuresFirst = 10 * time.Minute // after a start, when there is more to do
	figuresEvery = 24 * time.Hour
)

// counting counts consents as they are at a time, and the accesses of a year.
type counting func(ctx context.Context, now time.Time, year int) (contract.Figures, error)

// countFigures counts again and again until ctx ends, keeps in last what it counted, and leaves
// nothing there: another process counts then.
func countFigures(ctx context.Context, count counting, logger *slog.Logger, last *atomic.Pointer[contract.Figures]) error {
	defer last.Store(nil)
	wait := figuresFirst
	for {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		wait = figuresEvery
		now := time.Now()
		counted, err := count(ctx, now, domain.InBelgium(now).Year())
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			logger.WarnContext(ctx, "the figures were not counted", slog.Any("error", err))
		default:
			last.Store(&counted)
		}
	}
}

var (
	consentLabels  = []string{"state", "consumer", "purpose", "last_use"}
	accessLabels   = []string{"kind", "question_spared", "legal_basis", "consumer", "procedure"}
	consentsMetric = prometheus.NewDesc("coffre_consents", "Consents in groups of ten people or more, once a day; * where groups were put together.", consentLabels, nil)
	accessesMetric = prometheus.NewDesc("coffre_accesses", "Accesses by consumers since the year began, in groups of ten people or more, once a day; * where groups were put together.", accessLabels, nil)
	sparedMetric   = prometheus.NewDesc("coffre_questions_not_asked", "Questions that these accesses spared citizens.", accessLabels, nil)
	usedMetric     = prometheus.NewDesc("coffre_consent_used_after_withdrawal", "1 when a consent was used after it was withdrawn, which rule C-4 forbids, 0 otherwise; once a day.", nil, nil)
	countedMetric  = prometheus.NewDesc("coffre_figures_age_seconds", "Time since consents and accesses were counted; absent from all processes but the one that counts.", nil, nil)
)

// figureMetrics tell what was counted last.
type figureMetrics struct{ v *Instance }

func (figureMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- consentsMetric
	out <- accessesMetric
	out <- sparedMetric
	out <- usedMetric
	out <- countedMetric
}

func (m figureMetrics) Collect(out chan<- prometheus.Metric) {
	f := m.v.figures.Load()
	if f == nil {
		return
	}
	gauge := func(d *prometheus.Desc, n float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, n, labels...)
	}
	for _, g := range f.Consents.Groups {
		gauge(consentsMetric, float64(g.Count), word(g, contract.FigureKeyState, string(g.State)), word(g, contract.FigureKeyConsumer, string(g.Consumer)),
			word(g, contract.FigureKeyPurpose, string(g.Purpose)), word(g, contract.FigureKeyLastRead, string(g.LastRead)))
	}
	for _, g := range f.Accesses.Groups {
		spared := "no"
		if g.QuestionsNotAsked > 0 {
			spared = "yes"
		}
		labels := []string{
			word(g, contract.FigureKeyKind, string(g.Kind)), word(g, contract.FigureKeySpared, spared), word(g, contract.FigureKeyLegalBasis, string(g.LegalBasis)),
			word(g, contract.FigureKeyConsumer, string(g.Consumer)), word(g, contract.FigureKeyProcedure, string(g.Procedure)),
		}
		gauge(accessesMetric, float64(g.Count), labels...)
		if g.QuestionsNotAsked > 0 {
			gauge(sparedMetric, float64(g.QuestionsNotAsked), labels...)
		}
	}
	used := 0.0
	if f.ReadAfterWithdrawal {
		used = 1
	}
	gauge(usedMetric, used)
	gauge(countedMetric, time.Since(f.At).Seconds())
}

// word returns a word of a group, and * where the group was put together over it.
func word(g contract.FigureGroup, key contract.FigureKey, own string) string {
	if slices.Contains(g.PutTogether, key) {
		return "*"
	}
	return own
}
