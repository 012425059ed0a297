package wallet_test

import (
	"strconv"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/document"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/projectiontest"
	"coffre/projections/wallet"
)

func fresh() projections.Projection { return wallet.New() }

func TestProjection(t *testing.T) {
	projectiontest.Run(t, fresh, func(t testing.TB, w *projectiontest.World) {
		story := projectiontest.NewStory(w, 20)
		for range 3 {
			story.Tell(t, 40)
			former, survivor := story.Citizens[len(story.Citizens)-1], story.Citizens[0]
			w.Record(t, eventstore.Stream("citizen-"+former.String()), former, citizen.MergedInto{Citizen: former, Survivor: survivor, At: story.Now})
		}
	})
}

// A row that lacks a change is explained by that change, not by the event that made the row; one
// that never was so is explained by the last that touched it.
func TestRowThatLacksAChangeNamesIt(t *testing.T) {
	projectiontest.OnEach(t, func(t *testing.T, place func(testing.TB) string) {
		w := projectiontest.NewWorld()
		who, id := domain.CitizenID{UUID: uuid.New()}, domain.DocumentID{UUID: uuid.New()}
		stream := eventstore.Stream("document-" + id.String())
		issued := w.Record(t, stream, who, document.Issued{Document: id, Citizen: who, Type: "diploma", Issuer: "0316380841", Personal: &document.IssuedPersonal{Content: []byte(`{}`)}})
		suspended := w.Record(t, stream, who, document.Suspended{Document: id, Reason: "investigation"})
		w.Record(t, stream, who, document.Reinstated{Document: id, Reason: "cleared"})
		at := place(t)
		r := projectiontest.Start(t, w, at, fresh())
		r.CaughtUp(t)
		r.Stop()
		db := projectiontest.Meddle(t, at, "wallet")
		for _, c := range []struct {
			set  string
			leaf int64
		}{
			{`to_leaf = ` + strconv.FormatInt(projections.Latest, 10), suspended.Leaf}, // as before it was suspended
			{`type = 'other'`, suspended.Leaf},
		} {
			if _, err := db.Exec(db.Rebind(`UPDATE versions SET `+c.set+` WHERE from_leaf = ?`), issued.Leaf); err != nil {
				t.Fatal(err)
			}
			found := projectiontest.Compare(t, w, at, fresh())
			if found.Wrong != 1 || found.Differences[0].Leaf == nil || *found.Differences[0].Leaf != c.leaf {
				t.Errorf("%s: %+v", c.set, found.Differences)
			}
		}
	})
}
