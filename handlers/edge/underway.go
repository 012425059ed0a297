package edge

import (
	"sync"
	"time"

	"coffre/domain"
)

// Bounds on the requests that one process answers at a time.
const (
	MaxUnderWay = 1024
	// spareUnderWay more may be under way of the operations that are never busy.
	spareUnderWay = 256
)

// MaxUnderWayOf bounds the requests of one caller that one process answers at a time, by
// role; organisations have one figure for all who speak for them.
var MaxUnderWayOf = map[domain.Role]int{
	domain.RoleCitizen: 32, domain.RoleIssuer: 512, domain.RoleConsumer: 512,
	domain.RoleAuditor: 64, domain.RolePrivacyOfficer: 64, domain.RoleOperator: 64,
}

var (
	errBusy      = RetryAfter(domain.NewError(domain.Unavailable, "busy", "too many requests are being answered; try again"), time.Second)
	errTooManyAt = RetryAfter(domain.NewError(domain.TooMany, "tooManyRequests", "too many of your requests are being answered at a time; try again when one is"), time.Second)
)

// underWay counts the requests that are being answered. The zero value is ready; it may be
// used concurrently.
type underWay struct {
	mu  sync.Mutex
	all int
	of  map[string]int
}

// now returns how many requests are being answered.
func (u *underWay) now() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all
}

// UnderWay returns how many requests this server is answering that need a caller, at most
// MaxUnderWay and what is spared beyond it. It may be called concurrently.
func (s *Server) UnderWay() int { return s.underWay.now() }

// begin counts a request, or refuses it. One that is spared is refused only when the room
// beyond the bounds is used up, too.
func (u *underWay) begin(call *Call, spared bool) (end func(), err error) {
	who := string(call.Role) + "\x00" + string(call.Organisation)
	switch {
	case !call.Citizen.IsZero():
		who += call.Citizen.String()
	case call.Organisation == "":
		who += call.Subject
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.all >= MaxUnderWay && (!spared || u.all >= MaxUnderWay+spareUnderWay):
		return nil, errBusy
	case u.of[who] >= MaxUnderWayOf[call.Role] && !spared:
		return nil, errTooManyAt
	}
	if u.of == nil {
		u.of = make(map[string]int)
	}
	u.all++
	u.of[who]++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.all--
		if u.of[who]--; u.of[who] == 0 {
			delete(u.of, who)
		}
	}, nil
}
