package quotas

import (
	"encoding/hex"
	"time"

	"coffre/eventstore/seal/keysdb"
)

// callsShare is the part of the calls of a minute that a process counts by itself before it
// adds them to the table, so that most callers cost no write.
const callsShare = 64

// calls holds what this process knows of one caller's calls in the current minute.
type calls struct {
	others   int // in the table
	own      int // that are not in it
	flushing bool
}

// Called counts a call of a caller in the minute of a time, and reports whether it is within
// a limit of all processes, each of which may be ahead by a 64th. It does not wait. Calls
// beyond the limit count no further.
func (t *Table) Called(caller string, limit int, at time.Time) bool {
	t.mu.Lock()
	if minute := at.Unix() / 60; minute > t.minute {
		t.minute, t.calls = minute, make(map[string]*calls)
	}
	c := t.calls[caller]
	if c == nil {
		c = new(calls)
		t.calls[caller] = c
	}
	if c.others+c.own >= limit {
		t.totalsOf(CallsBudget, "").Refused++
		t.mu.Unlock()
		return false
	}
	c.own++
	post := !c.flushing && c.own >= max(limit/callsShare, 1)
	c.flushing = c.flushing || post
	minute := t.minute
	t.mu.Unlock()
	if post {
		t.addCalls(caller, c, minute)
	}
	return true
}

// CallsBudget is the name under which refused calls are counted in the totals.
const CallsBudget = "calls"

// addCalls adds the calls of this process to the table and reads how many there are.
func (t *Table) addCalls(caller string, c *calls, minute int64) {
	sum := t.mac([]byte("calls/v1\x00"), []byte(caller))
	row := "calls:" + hex.EncodeToString(sum[:16])
	taken := -1
	added := false
	err := t.db.Post(func(tx *keysdb.Tx) error {
		t.mu.Lock()
		if taken < 0 { // a batch that fails runs again
			taken = c.own
		}
		t.mu.Unlock()
		if _, err := tx.Exec(`INSERT INTO quota_minutes (minute, organisation, refusals) VALUES (?, ?, ?)
			ON CONFLICT (minute, organisation) DO UPDATE SET refusals = quota_minutes.refusals + excluded.refusals`, minute, row, taken); err != nil {
			return err
		}
		var all int
		if err := tx.Row(`SELECT refusals FROM quota_minutes WHERE minute = ? AND organisation = ?`, []any{minute, row}, &all); err != nil {
			return err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		c.others = max(c.others, all)
		if !added {
			c.own -= taken
		}
		added, c.flushing = true, false
		return nil
	})
	if err != nil { // they are counted with the next one
		t.mu.Lock()
		c.flushing = false
		t.mu.Unlock()
	}
}
