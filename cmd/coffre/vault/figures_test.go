package vault

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coffre/handlers/contract"
)

// Figures are counted once a day, also after a day on which that failed; who stops counting
// serves none.
func TestFiguresAreCountedOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var times []time.Duration
		count := func(_ context.Context, now time.Time, year int) (contract.Figures, error) {
			times = append(times, now.Sub(began))
			if len(times) == 1 {
				return contract.Figures{}, errors.New("away")
			}
			return contract.Figures{Year: year}, nil
		}
		var logs bytes.Buffer
		var last atomic.Pointer[contract.Figures]
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- countFigures(ctx, count, slog.New(slog.NewTextHandler(&logs, nil)), &last) }()
		time.Sleep(figuresFirst + time.Minute) // in the bubble's time
		synctest.Wait()
		if last.Load() != nil || !strings.Contains(logs.String(), "not counted") {
			t.Errorf("%+v: %s", last.Load(), logs.String())
		}
		time.Sleep(figuresEvery)
		synctest.Wait()
		if f := last.Load(); f == nil || f.Year != began.Year() {
			t.Errorf("%+v", f)
		}
		stop()
		if err := <-ended; err != nil || last.Load() != nil || len(times) != 2 || times[1]-times[0] != figuresEvery {
			t.Errorf("%v, %+v, %v", err, last.Load(), times)
		}
	})
}

// Metrics tell the groups that were counted, and nothing that is not one of them.
func TestFigureMetrics(t *testing.T) {
	v := &Instance{}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(figureMetrics{v})
	if found, err := registry.Gather(); err != nil || len(found) != 0 {
		t.Errorf("before the first count: %v, %v", found, err)
	}
	v.figures.Store(&contract.Figures{
		At: time.Now(), ReadAfterWithdrawal: true,
		Consents: contract.FigureTable{Total: 31, Groups: []contract.FigureGroup{
			{Count: 20, State: "granted", Consumer: "0203430576", Purpose: "familyDiscount"},
			{Count: 11, State: "withdrawn", PutTogether: []contract.FigureKey{contract.FigureKeyConsumer, contract.FigureKeyPurpose, contract.FigureKeyLastRead}},
		}},
		Accesses: contract.FigureTable{Total: 30, Groups: []contract.FigureGroup{
			{Count: 12, QuestionsNotAsked: 14, Kind: contract.FigureKindTold, LegalBasis: "publicTask", Consumer: "0316380841", Procedure: "schoolEnrolmentAllowance"},
			{Count: 18, Kind: contract.FigureKindTold, LegalBasis: "publicTask", Consumer: "0316380841", Procedure: "schoolEnrolmentAllowance"},
		}},
	})
	found, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, family := range found {
		for _, m := range family.GetMetric() {
			line := family.GetName()
			for _, l := range m.GetLabel() {
				line += " " + l.GetName() + "=" + l.GetValue()
			}
			told = append(told, line)
		}
	}
	want := `coffre_accesses consumer=0316380841 kind=told legal_basis=publicTask procedure=schoolEnrolmentAllowance question_spared=no
coffre_accesses consumer=0316380841 kind=told legal_basis=publicTask procedure=schoolEnrolmentAllowance question_spared=yes
coffre_consent_used_after_withdrawal
coffre_consents consumer=* last_use=* purpose=* state=withdrawn
coffre_consents consumer=0203430576 last_use= purpose=familyDiscount state=granted
coffre_figures_age_seconds
coffre_questions_not_asked consumer=0316380841 kind=told legal_basis=publicTask procedure=schoolEnrolmentAllowance question_spared=yes`
	if got := strings.Join(told, "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
