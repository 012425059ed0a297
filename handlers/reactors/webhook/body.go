package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/handlers/reactors"
)

const (
	// service and the names of types follow the Belgian REST guide's rules for events.
	service    = "be.coffre.vault.v1"
	typePrefix = service + ".documents.notify."

	contentType = "application/cloudevents+json"
	// maxBody is the limit that Standard Webhooks advises; bodies of this package are below
	// 1 kB.
	maxBody = 20 << 10
)

// cloudEvent is CloudEvents 1.0 in JSON, with the extension "service".
type cloudEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              uuid.UUID `json:"id"`
	Source          string    `json:"source"`
	Service         string    `json:"service"`
	Type            string    `json:"type"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            change    `json:"data"`
}

// change is the part of a notice about the document.
type change struct {
	Document domain.DocumentID `json:"documentId"`
	// Version is the document's, as the API answers it; Change counts every change,
	// of the state as well, and so orders the notices of one document.
	Version int   `json:"version"`
	Change  int64 `json:"change"`
	// State after this change, dates aside: whether the document is in its term today
	// is for the API to say, because the term may be personal.
	State string `json:"state"`
}

// noticeVerbs maps an event's name to the past participle in the type of its notice.
var noticeVerbs = map[string]string{
	"document.issued":            "issued",
	"document.updated":           "updated",
	"document.suspended":         "suspended",
	"document.reinstated":        "reinstated",
	"document.revoked":           "revoked",
	"document.content-destroyed": "erased",
}

// body returns the body of a notice, or nil for events that are not notified.
func (w *Webhook) body(ctx context.Context, n reactors.Notice) (body []byte, document uuid.UUID, count int64, err error) {
	what, ok := noticeVerbs[n.Name()]
	if !ok {
		return nil, uuid.Nil, 0, nil
	}
	if document, err = documentOf(string(n.Stream)); err != nil {
		return nil, uuid.Nil, 0, err
	}
	c := change{Document: domain.DocumentID{UUID: document}, Change: int64(n.Revision) + 1}
	// The names of the events so far say all; nothing is opened or decoded.
	for r, err := range w.o.Log.Store().ReadStream(ctx, n.Stream, 0) {
		if err != nil {
			return nil, uuid.Nil, 0, fmt.Errorf("read the document's stream: %w", err)
		}
		if r.Revision > n.Revision {
			break
		}
		name, _, _ := strings.Cut(r.Type, "/")
		c = c.after(name)
	}
	body, err = json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: n.ID, Source: w.o.Source, Service: service, Type: typePrefix + what,
		Time: n.Recorded, DataContentType: "application/json", Data: c,
	})
	if err != nil || len(body) > maxBody {
		return nil, uuid.Nil, 0, fmt.Errorf("body of %d bytes does not encode", len(body))
	}
	return body, document, c.Change, nil
}

// after folds one more event of the document.
func (c change) after(name string) change {
	switch name {
	case "document.issued":
		c.Version, c.State = 1, "valid"
	case "document.updated":
		c.Version++
	case "document.suspended":
		c.State = "suspended"
	case "document.reinstated":
		c.State = "valid"
	case "document.revoked":
		c.State = "revoked"
	case "document.content-destroyed":
		c.State = "erased"
	}
	return c
}

// documentOf returns the id in a document's stream name.
func documentOf(stream string) (uuid.UUID, error) {
	id, ok := strings.CutPrefix(stream, "document-")
	if !ok || len(id) != 36 { // uuid.Parse knows other forms, we write one
		return uuid.Nil, reactors.ErrNotANotice
	}
	document, err := uuid.Parse(id)
	if err != nil || document == uuid.Nil {
		return uuid.Nil, reactors.ErrNotANotice
	}
	return document, nil
}
