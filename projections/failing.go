package projections

import "time"

// failuresSeen is how many tries in a row must fail before a projection counts as
// failing: a server that restarts, or a lock held for a moment, is no news.
const failuresSeen = 5

// failures counts the tries of a task that failed since the last one that did not.
type failures struct {
	inRow int
	since time.Time // of the first one
}

// seen returns since when the projection counts as failing; zero when it does not.
func (f failures) seen() time.Time {
	if f.inRow < failuresSeen {
		return time.Time{}
	}
	return f.since
}

// tryFailed counts a try that ended with an error which may pass. The log hears of a row
// of failures once, with the cause of the try that made it one.
func (t *task) tryFailed(err error) {
	t.mu.Lock()
	if t.failures.inRow == 0 {
		t.failures.since = time.Now()
	}
	t.failures.inRow++
	f := t.failures
	t.mu.Unlock()
	if f.inRow == failuresSeen {
		t.log.Error("failing; trying again", "since", f.since, "err", err)
	}
}

// trySucceeded ends a row of failures.
func (t *task) trySucceeded() {
	t.mu.Lock()
	since := t.failures.seen()
	t.failures = failures{}
	t.mu.Unlock()
	if !since.IsZero() {
		t.log.Info("no longer failing", "since", since)
	}
}
