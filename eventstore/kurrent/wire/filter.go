package wire

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/dlclark/regexp2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/form"
)

const (
	maxPrefixes = 256
	maxRegexp   = 1024    // bytes
	maxWindow   = 1 << 20 // considered records between two checkpoints, times the multiplier
)

var (
	errFilter = errors.New("the filter is not one: it needs prefixes, or a regular expression")
	// errSlowFilter ends a call whose regular expression takes too long for one name.
	errSlowFilter = status.Error(codes.InvalidArgument, "the filter's regular expression takes too long; write it without nested repetitions")
)

// matchTime bounds one match of a regular expression that goes back and forth. Names have
// some sixty bytes, for which an expression that means well takes microseconds.
const matchTime = 20 * time.Millisecond

// filter chooses records by the name of their stream or their type. A nil filter
// lets all pass.
type filter struct {
	byType   bool
	prefixes []string
	regex    *regexp.Regexp
	look     *regexp2.Regexp // in place of regex, for what that cannot say: look-around, as some clients send by default
	window   int             // considered records from one checkpoint to the next
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
		if f.regex, err = regexp.Compile(e.GetRegex()); err == nil {
			break
		}
		if f.look, err = regexp2.Compile(e.GetRegex(), regexp2.None); err != nil {
			return nil, errFilter // the error would quote it
		}
		f.look.MatchTimeout = matchTime
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

// admits reports whether a record passes. It returns errSlowFilter when that is not known in
// time.
func (f *filter) admits(r *eventstore.Record) (bool, error) {
	if f == nil {
		return true, nil
	}
	subject := r.Type
	if !f.byType {
		subject = form.StreamName(r.Stream)
	}
	switch {
	case f.regex != nil:
		return f.regex.MatchString(subject), nil
	case f.look != nil:
		passes, err := f.look.MatchString(subject)
		if err != nil {
			return false, errSlowFilter // the error would quote it
		}
		return passes, nil
	}
	return slices.ContainsFunc(f.prefixes, func(p string) bool { return strings.HasPrefix(subject, p) }), nil
}
