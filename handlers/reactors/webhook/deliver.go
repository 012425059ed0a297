package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	// workers bounds the deliveries on the wire at once, each of another document.
	workers    = 4
	tryTimeout = 15 * time.Second
	// jitter lengthens each pause by up to a tenth, so that deliveries that failed together
	// do not return together.
	jitter = 0.1
	// maxPause bounds the wait that Retry-After may ask for.
	maxPause = 24 * time.Hour
	// clockCheck bounds the time between two looks at the clock: timers do not notice that
	// the clock was set.
	clockCheck       = time.Minute
	recordRetryPause = 5 * time.Second
	lookEvery        = time.Minute
	keepDelivered    = 30 * 24 * time.Hour
	pruneEvery       = 24 * time.Hour
	maxAnswer        = 4 << 10 // bytes of an answer that are read so that the connection can be used again
)

// schedule holds the pause before each try (Standard Webhooks, "Deliverability"):
// the first at once, the last after about 75 hours.
var schedule = [...]time.Duration{
	0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour,
	5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// dueDelivery is a delivery whose time has come.
type dueDelivery struct {
	Event    []byte
	Document []byte
	Body     []byte
	Attempts int
}

// Run sends due deliveries until ctx ends. A try that ctx cuts short does not count: the
// next Run makes it again, with the same webhook-id.
func (w *Webhook) Run(ctx context.Context) error {
	busy := map[string]bool{} // documents on the wire
	done := make(chan string)
	prune := time.Time{}
	begun := false // the secrets were read once: another process may have sent until now
	for {
		now := time.Now().Round(0)
		if now.Sub(prune) >= pruneEvery {
			prune = now
			w.prune(ctx, now)
		}
		if err := w.followSecrets(ctx, !begun); err == nil {
			begun = true
		} else if ctx.Err() == nil {
			w.o.Logger.Warn("webhook cannot see whether its secrets were replaced", "endpoint", w.o.Endpoint.String())
		}
		ready, next, err := w.due(ctx, now)
		if err != nil && ctx.Err() == nil {
			w.o.Logger.Warn("webhook cannot read what is due", "endpoint", w.o.Endpoint.String())
			next = now.Add(recordRetryPause)
		}
		next = earlier(next, prune.Add(pruneEvery))
		next = earlier(next, now.Add(w.o.LookEvery)) // operators may have asked for something in another process
		for _, d := range ready {
			if len(busy) == workers {
				break
			}
			if document := string(d.Document); !busy[document] {
				busy[document] = true
				go func() {
					w.try(ctx, d)
					done <- document
				}()
			}
		}
		if document := w.waitForWork(ctx, next, done); document != "" {
			delete(busy, document)
		}
		if ctx.Err() != nil {
			for range busy {
				<-done
			}
			return nil
		}
	}
}

// waitForWork waits for a time, a new delivery, the end of a worker or the end of ctx. It
// returns the document of a worker that ended, else "".
func (w *Webhook) waitForWork(ctx context.Context, until time.Time, done <-chan string) string {
	for {
		// Round drops the monotonic clock, which does not know that the clock was set.
		timer := time.NewTimer(min(max(until.Sub(time.Now().Round(0)), 0), clockCheck))
		select {
		case <-ctx.Done():
		case document := <-done:
			timer.Stop()
			return document
		case <-w.wake:
		case <-timer.C:
			if time.Now().Round(0).Before(until) {
				continue
			}
		}
		timer.Stop()
		return ""
	}
}

// earlier returns the earlier of two times; a zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// due returns deliveries whose time has come, the earliest of each document, enough of them
// that every worker finds one. next is the time of the following one; zero when only a new
// delivery can be due.
func (w *Webhook) due(ctx context.Context, now time.Time) (ready []dueDelivery, next time.Time, err error) {
	status, err := w.Status(ctx)
	if err != nil || !status.Disabled.IsZero() {
		return nil, next, err
	}
	if status.Resume.After(now) {
		return nil, status.Resume, nil
	}
	err = w.o.DB.Reader().SelectContext(ctx, &ready, w.o.DB.Reader().Rebind(`
		SELECT event, document, body, attempts FROM webhook_deliveries AS d
		WHERE state = 'pending' AND next_at <= ? AND NOT EXISTS (
			SELECT 1 FROM webhook_deliveries AS earlier
			WHERE earlier.state = 'pending' AND earlier.document = d.document
			AND earlier.change < d.change AND earlier.next_at <= ?)
		ORDER BY next_at, change LIMIT ?`), now.UnixMicro(), now.UnixMicro(), 2*workers)
	if err != nil {
		return nil, next, fmt.Errorf("find what is due: %w", err)
	}
	var first int64
	err = w.o.DB.Reader().GetContext(ctx, &first, w.o.DB.Reader().Rebind(`
		SELECT coalesce(min(next_at), 0) FROM webhook_deliveries WHERE state = 'pending' AND next_at > ?`), now.UnixMicro())
	if err != nil {
		return nil, next, fmt.Errorf("find what is due next: %w", err)
	}
	if first != 0 {
		next = time.UnixMicro(first)
	}
	return ready, next, nil
}

// tryResult is the result of one try to deliver.
type tryResult struct {
	reason  string // empty: delivered
	gone    bool   // 410: nothing more is wanted
	holdOff time.Duration
}

// try makes one try and records its result. A crash between the two repeats the try.
func (w *Webhook) try(ctx context.Context, d dueDelivery) {
	a := w.post(ctx, d, time.Now())
	if ctx.Err() != nil {
		return
	}
	for w.record(ctx, d, a) != nil {
		// The notice went out and we cannot say so. Until we can, its document stays
		// taken, so that it does not go out again and again.
		w.o.Logger.Warn("webhook cannot record a delivery", "endpoint", w.o.Endpoint.String())
		select {
		case <-time.After(recordRetryPause):
		case <-ctx.Done():
			return
		}
	}
}

func (w *Webhook) post(ctx context.Context, d dueDelivery, now time.Time) tryResult {
	event, err := uuid.FromBytes(d.Event)
	if err != nil {
		return tryResult{reason: "unreadable"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.o.Endpoint.url.String(), bytes.NewReader(d.Body))
	if err != nil {
		return tryResult{reason: "unsendable"}
	}
	w.mu.Lock()
	signers := w.signers
	w.mu.Unlock()
	signatures := make([]string, len(signers))
	for i, s := range signers {
		if signatures[i], err = s.Sign(event.String(), now, d.Body); err != nil {
			return tryResult{reason: "unsignable"}
		}
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "coffre")
	// The names are written as Standard Webhooks spells them; HTTP does not care.
	req.Header.Set(standardwebhooks.HeaderWebhookID, event.String())
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))

	ctx, span := w.o.Tracer.Event(ctx, "webhook.deliver", uuid.Nil)
	span.ID("coffre.event_id", event)
	res, err := w.client.Do(req.WithContext(ctx))
	span.End(err)
	if err != nil {
		return tryResult{reason: classify(err)}
	}
	defer res.Body.Close()
	io.CopyN(io.Discard, res.Body, maxAnswer) // what it says does not matter
	return judge(res.StatusCode, res.Header, now)
}

// judge turns the consumer's answer into the result of a try.
func judge(status int, h http.Header, now time.Time) tryResult {
	switch {
	case status >= 200 && status < 300:
		return tryResult{}
	case status >= 300 && status < 400:
		return tryResult{reason: "redirect"}
	case status == http.StatusGone:
		return tryResult{reason: "gone", gone: true}
	}
	a := tryResult{reason: "status" + strconv.Itoa(status)}
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		a.holdOff = retryAfter(h.Get("Retry-After"), now)
	}
	return a
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3), at most maxPause; 0 when
// there is none or it cannot be read.
func retryAfter(value string, now time.Time) time.Duration {
	value = textproto.TrimString(value)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxPause)
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxPause)
}

// classify names a failure to reach the consumer; the error itself holds the URL.
func classify(err error) string {
	var timeout net.Error
	var record tls.RecordHeaderError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errAddress):
		return "addressRefused"
	case errors.As(err, &cert), errors.As(err, &record):
		return "tls"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "unreachable"
}

// record stores the result of a try and the time of the next one.
func (w *Webhook) record(ctx context.Context, d dueDelivery, a tryResult) error {
	now := time.Now()
	state, next, attempts := Delivered, now, d.Attempts+1
	if a.reason != "" {
		state = Failed
		if attempts < len(schedule) {
			state = Pending
			wait := schedule[attempts]
			next = now.Add(wait + time.Duration(jitter*w.o.Jitter()*float64(wait)))
		}
	}
	resume := now.Add(a.holdOff)
	if state == Pending && next.Before(resume) {
		next = resume
	}
	err := w.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, tx.Rebind(`
			UPDATE webhook_deliveries SET state = ?, attempts = ?, next_at = ?, reason = ?, changed_at = ? WHERE event = ?`),
			state, attempts, next.UnixMicro(), a.reason, now.UnixMicro(), d.Event); err != nil {
			return err
		}
		switch {
		case a.gone:
			_, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE webhook_endpoints SET disabled_at = ? WHERE url = ? AND disabled_at = 0`), now.UnixMicro(), w.endpoint)
			return err
		case a.holdOff > 0:
			_, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE webhook_endpoints SET resume_at = ? WHERE url = ? AND resume_at < ?`), resume.UnixMicro(), w.endpoint, resume.UnixMicro())
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case a.gone:
		w.o.Logger.Error("webhook disabled: the consumer answered 410; `coffre webhooks enable` lets deliveries go again", "endpoint", w.o.Endpoint.String())
	case state == Failed:
		w.o.Logger.Error("webhook delivery failed for good", "event", uuid.UUID(d.Event).String(), "reason", a.reason, "attempts", attempts)
	case state == Pending:
		w.o.Logger.Warn("webhook delivery failed", "event", uuid.UUID(d.Event).String(), "reason", a.reason, "attempts", attempts, "next", next.UTC())
	}
	return nil
}

// prune forgets deliveries that arrived long ago.
func (w *Webhook) prune(ctx context.Context, now time.Time) {
	err := w.o.DB.Write(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Rebind(`DELETE FROM webhook_deliveries WHERE state = 'delivered' AND changed_at < ?`), now.Add(-keepDelivered).UnixMicro())
		return err
	})
	if err != nil && ctx.Err() == nil {
		w.o.Logger.Warn("webhook cannot forget old deliveries", "endpoint", w.o.Endpoint.String())
	}
}
