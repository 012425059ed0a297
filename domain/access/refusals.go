package access

import (
	"maps"
	"time"

	"coffre/domain"
)

// ApartPerMinute is how many refusals of one organisation are recorded apart in a minute:
// that many about each citizen, and that many about nobody whom the vault knows. More are
// counted together, those about one citizen among themselves, so that what concerns a
// citizen is never hidden by anything else.
const ApartPerMinute = 30

// maxAbout bounds the citizens whose refusals of a minute a state remembers. When there
// are more, it begins anew, and more refusals than necessary are recorded apart.
const maxAbout = 256

// Concerned is what refusals have in common that are counted together: whom they are about,
// nobody under the zero id, and what hides them. What is hidden never changes how that is
// recorded which is shown.
type Concerned struct {
	Citizen       domain.CitizenID
	Investigation domain.InvestigationID
}

func concerned(r Refused) Concerned { return Concerned{r.Citizen, r.Investigation} }

// RefusalState remembers an organisation's refusals of a day, as far as rules need them.
// It is shared and never changed.
type RefusalState struct {
	Minute time.Time         // the newest minute in which something was recorded
	About  map[Concerned]int // facts recorded in that minute
}

// add returns the state with one fact more.
func (s RefusalState) add(of Concerned, at time.Time) RefusalState {
	about := make(map[Concerned]int, len(s.About)+1)
	if minute := at.Truncate(time.Minute); minute.After(s.Minute) {
		s.Minute = minute
	} else if len(s.About) < maxAbout || s.About[of] > 0 {
		maps.Copy(about, s.About)
	} else {
		about[Concerned{}] = s.About[Concerned{}]
	}
	about[of]++
	s.About = about
	return s
}

// EvolveRefusals returns the state after e.
func EvolveRefusals(s RefusalState, e RefusalEvent) RefusalState {
	switch e := e.(type) {
	case Refused:
		return s.add(concerned(e), e.At)
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
// ApartPerMinute become one fact per citizen, reason and purpose, that says how many
// there were and when the first was. What they do not share, it leaves out.
func Aggregate(s RefusalState, refusals []Refused) []Refused {
	minute, about := s.Minute, maps.Clone(s.About)
	var groups groups
	for _, r := range refusals {
		if m := r.At.Truncate(time.Minute); about == nil || m.After(minute) {
			minute, about = m, make(map[Concerned]int)
		}
		if about[concerned(r)] < ApartPerMinute {
			about[concerned(r)]++
			groups.apart(r)
			continue
		}
		groups.add(minute, r)
	}
	return groups.out
}

// Together counts refusals of all minutes together: one fact per citizen, reason and
// purpose. It is for what cannot be recorded yet and would fill the memory.
func Together(refusals []Refused) []Refused {
	var groups groups
	for _, r := range refusals {
		groups.add(time.Time{}, r)
	}
	return groups.out
}

// groups collects refusals, equal ones as one. The zero value is empty.
type groups struct {
	out   []Refused
	where map[group]int // in out
}

type group struct {
	minute   time.Time
	consumer domain.Organisation
	citizen  domain.CitizenID
	reason   domain.ReasonCode
	purpose  domain.Purpose
	under    domain.InvestigationID // what is hidden is never counted with what is shown
}

// apart adds a refusal that stays by itself.
func (g *groups) apart(r Refused) {
	r.Count = max(r.Count, 1)
	g.out = append(g.out, r)
}

// add counts a refusal together with the others of its group.
func (g *groups) add(minute time.Time, r Refused) {
	key := group{minute, r.Consumer, r.Citizen, r.Reason, r.Purpose, r.Investigation}
	if i, known := g.where[key]; known {
		g.out[i] = merge(g.out[i], r)
		return
	}
	if g.where == nil {
		g.where = make(map[group]int)
	}
	g.where[key] = len(g.out)
	g.apart(r)
}

// merge returns two refusals of one group as one.
func merge(a, b Refused) Refused {
	a.Count += max(b.Count, 1)
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
