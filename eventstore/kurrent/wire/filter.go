package wire

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/form"
)

const (
	maxPrefixes = 256
	maxRegexp   = 1024    // bytes
	maxWindow   = 1 << 20 // considered records between two checkpoints, times the multiplier
)

var errFilter = errors.New("the filter is not one: it needs prefixes, or a regular expression without look-around")

// filter chooses records by the name of their stream or their type. A nil filter
// lets all pass.
type filter struct {
	byType   bool
	prefixes []string
	regex    *regexp.Regexp
	window   int // considered records from one checkpoint to the next
}

// newFilter reads what a client asked for. The answer is nil where it asked for none.
func newFilter(o *streams.ReadReq_Options) (*filter, error) {
	asked := o.GetFilter()
	if asked == nil {
		return nil, nil
	}
	f := &filter{}
	var e *streams.ReadReq_Options_FilterOptions_Expression
	switch by := asked.GetFilter().(type) {
	case *streams.ReadReq_Options_FilterOptions_StreamIdentifier:
		e = by.StreamIdentifier
	case *streams.ReadReq_Options_FilterOptions_EventType:
		f.byType, e = true, by.EventType
	default:
		return nil, errFilter
	}
	switch {
	case len(e.GetRegex()) > maxRegexp, len(e.GetPrefix()) > maxPrefixes, e.GetRegex() == "" && len(e.GetPrefix()) == 0:
		return nil, errFilter
	case e.GetRegex() != "":
		var err error
		if f.regex, err = regexp.Compile(e.GetRegex()); err != nil {
			return nil, errFilter // the error would quote it
		}
	default:
		f.prefixes = e.GetPrefix()
	}
	multiplier, window := uint64(max(asked.GetCheckpointIntervalMultiplier(), 1)), uint64(32)
	if m := asked.GetMax(); m > 0 {
		window = uint64(m)
	}
	f.window = int(min(multiplier*window, maxWindow))
	return f, nil
}

func (f *filter) admits(r *eventstore.Record) bool {
	if f == nil {
		return true
	}
	subject := r.Type
	if !f.byType {
		subject = form.StreamName(r.Stream)
	}
	if f.regex != nil {
		return f.regex.MatchString(subject)
	}
	return slices.ContainsFunc(f.prefixes, func(p string) bool { return strings.HasPrefix(subject, p) })
}
