package access

import (
	"time"

	"coffre/domain"
)

// ApartPerMinute is how many refusals of one organisation are recorded apart in
// a minute; more are counted together.
const ApartPerMinute = 30

// RefusalState remembers an organisation's refusals of a day, as far as rules need them.
type RefusalState struct {
	Minute   time.Time // the newest minute in which something was recorded
	Recorded int       // facts recorded in that minute
}

// EvolveRefusals returns the state after e.
func EvolveRefusals(s RefusalState, e RefusalEvent) RefusalState {
	switch e := e.(type) {
	case Refused:
		if minute := e.At.Truncate(time.Minute); minute.After(s.Minute) {
			s = RefusalState{Minute: minute}
		}
		s.Recorded++
		return s
	}
	panic("access: refusal event type without a case in EvolveRefusals")
}

// RecordRefusals records that an organisation was told no, without payload. The
// refusals are the organisation's, in the order in which they happened.
type RecordRefusals struct{ Refusals []Refused }

// Decide implements A-3.
func (c RecordRefusals) Decide(s RefusalState) ([]RefusalEvent, error) {
	var events []RefusalEvent
	for _, r := range Aggregate(s, c.Refusals) {
		events = append(events, r)
	}
	return events, nil
}

// Aggregate counts refusals together (rule A-3): in each minute those beyond
// ApartPerMinute become one fact per reason and basis asked for, that says how
// many there were and when the first was. What they do not share, it leaves out.
func Aggregate(s RefusalState, refusals []Refused) []Refused {
	var out []Refused
	type group struct {
		minute   time.Time
		consumer domain.Organisation
		reason   domain.ReasonCode
		purpose  domain.Purpose
	}
	together := make(map[group]int) // where in out
	for _, r := range refusals {
		r.Count = max(r.Count, 1)
		minute := r.At.Truncate(time.Minute)
		if minute.After(s.Minute) {
			s = RefusalState{Minute: minute}
		}
		if s.Recorded < ApartPerMinute {
			s.Recorded++
			out = append(out, r)
			continue
		}
		key := group{s.Minute, r.Consumer, r.Reason, r.Purpose}
		i, known := together[key]
		if !known {
			together[key] = len(out)
			out = append(out, r)
			continue
		}
		out[i] = merge(out[i], r)
	}
	return out
}

func merge(a, b Refused) Refused {
	a.Count += b.Count
	if a.Citizen != b.Citizen {
		a.Citizen = domain.CitizenID{}
	}
	if a.Document != b.Document {
		a.Document = domain.DocumentID{}
	}
	if a.Type != b.Type {
		a.Type = ""
	}
	if a.Procedure != b.Procedure {
		a.Procedure = ""
	}
	return a
}
