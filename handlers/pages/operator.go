package pages

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"coffre/handlers/contract"
	"coffre/handlers/pages/chart"
)

// operatorView is how the vault is.
type operatorView struct {
	status, class string
	reasons       []string // in English, as the vault says them
	models        []modelView
	lag           []chart.Bar
	live          liveView
}

// modelView is a read model.
type modelView struct {
	name, state, applied, behind, updated, progress string
	rebuild                                         string // address
}

// serveOperator shows how the vault is, and how far its read models are.
func (p *Pages) serveOperator(w http.ResponseWriter, r *http.Request, s session) error {
	condition, err := get[contract.Condition](r.Context(), p, s, "/condition", nil)
	if err != nil {
		return err
	}
	models, err := get[contract.Projections](r.Context(), p, s, "/projections", nil)
	if err != nil {
		return err
	}
	pg := s.page("operator.title")
	v := operatorView{status: pg.say("health." + string(condition.Status)), class: "mistake", reasons: condition.Reasons}
	if condition.Status == contract.HealthStatusUP {
		v.class = "valid"
	}
	for _, m := range models.Items {
		one := modelView{
			name: string(m.Name), state: pg.say("model." + string(m.State)), applied: pg.number(m.Applied), behind: pg.number(m.Behind),
			rebuild: pg.to("/operator/acts/rebuild", "name", string(m.Name)),
		}
		if !m.UpdatedAt.IsZero() {
			one.updated = pg.exactly(m.UpdatedAt)
		}
		if m.Rebuilding != nil {
			one.progress = strconv.Itoa(*m.Rebuilding) + " %"
		}
		v.models = append(v.models, one)
		v.lag = append(v.lag, chart.Bar{Label: one.name, Number: m.Behind, Shown: one.behind})
	}
	v.live = p.live(w.Header(), s, &pg)
	return p.show(w, r, http.StatusOK, operatorPage(pg, v))
}

// keysView is how the keys are.
type keysView struct {
	facts  []fact
	keys   []inboxItem
	rotate string // address of the act that the rotation waits for; "": the vault goes on by itself, or a backup is needed
	next   string
}

// nextActs are the acts that a step of a rotation waits for.
var nextActs = map[contract.RotationStep]string{contract.RotationStepRotate: "rotate", contract.RotationStepRetire: "retire", contract.RotationStepTrim: "trim"}

// serveKeys shows how many keys there are, and what a rotation waits for.
func (p *Pages) serveKeys(w http.ResponseWriter, r *http.Request, s session) error {
	found, err := get[contract.KeyState](r.Context(), p, s, "/keys", nil)
	if err != nil {
		return err
	}
	pg := s.page("keys.title")
	v := keysView{next: pg.say("rotation." + string(found.NextStep)), facts: []fact{
		{name: pg.say("keys.provider"), value: found.Provider}, {name: pg.say("keys.data"), value: pg.number(found.DataKeys)}, {name: pg.say("keys.content"), value: pg.number(found.ContentKeys)},
		{name: pg.say("keys.pepper"), value: strconv.Itoa(found.Pepper.Version)},
	}}
	if found.DestroyedKeys != nil {
		v.facts = append(v.facts, fact{name: pg.say("keys.destroyed"), value: pg.number(*found.DestroyedKeys)})
	}
	backup := pg.say("keys.noBackup")
	if at := found.LastBackup.VerifiedAt; !at.IsZero() {
		backup = pg.say("keys.backupAge", pg.moment(at), pg.number(int64(p.Now().Sub(at)/(24*time.Hour))))
	}
	v.facts = append(v.facts, fact{name: pg.say("keys.backup"), value: backup})
	if act := nextActs[found.NextStep]; act != "" {
		v.rotate = pg.to("/operator/acts/" + act)
	}
	for _, k := range found.KeyEncryptionKeys {
		item := inboxItem{title: pg.say("keys.version", strconv.Itoa(k.Version)), facts: []fact{{name: pg.say("keys.wraps"), value: pg.number(k.Wraps)}}}
		for _, at := range []struct {
			key string
			on  bool
			at  string
		}{
			{"keys.created", !k.CreatedAt.IsZero(), pg.moment(k.CreatedAt)}, {"keys.rewrapped", !k.RewrappedAt.IsZero(), pg.moment(k.RewrappedAt)},
			{"keys.retired", !k.RetiredAt.IsZero(), pg.moment(k.RetiredAt)}, {"keys.trimmed", !k.TrimmedAt.IsZero(), pg.moment(k.TrimmedAt)},
		} {
			if at.on {
				item.facts = append(item.facts, fact{name: pg.say(at.key), value: at.at})
			}
		}
		v.keys = append(v.keys, item)
	}
	return p.show(w, r, http.StatusOK, keysPage(pg, v))
}

// reactorsView is what follows from events, and what could not be handled.
type reactorsView struct {
	reactors []reactorView
	poison   []reactorView
}

// reactorView is a reactor, or an event that one set aside, with the addresses of acts on it.
type reactorView struct {
	name  string
	facts []fact
	acts  []listLink
}

// serveReactors shows the reactors and the events that they set aside.
func (p *Pages) serveReactors(w http.ResponseWriter, r *http.Request, s session) error {
	reactors, err := get[contract.Reactors](r.Context(), p, s, "/reactors", nil)
	if err != nil {
		return err
	}
	aside, err := get[contract.PoisonList](r.Context(), p, s, "/poisonedEvents", nil)
	if err != nil {
		return err
	}
	pg, v := s.page("reactors.title"), reactorsView{}
	for _, one := range reactors.Items {
		name := string(one.Name)
		shown := reactorView{name: name, facts: []fact{{name: pg.say("model.behind"), value: pg.number(one.Behind)}, {name: pg.say("reactors.aside"), value: pg.number(one.SetAside)}, {name: pg.say("model.updated"), value: pg.exactly(one.MovedAt)}}}
		act := "pause"
		if !one.PausedAt.IsZero() {
			act = "resume"
			shown.facts = append(shown.facts, fact{name: pg.say("reactors.paused"), value: pg.moment(one.PausedAt)})
		}
		shown.acts = []listLink{{href: pg.to("/operator/acts/"+act, "name", name), text: pg.say("act." + act)}}
		v.reactors = append(v.reactors, shown)
	}
	for _, one := range aside.Items {
		name, leaf := string(one.Reactor), strconv.FormatInt(one.Leaf, 10)
		v.poison = append(v.poison, reactorView{
			name: pg.say("reactors.event", leaf, name),
			facts: []fact{
				{name: pg.say("event.type"), value: one.Type}, {name: pg.say("officer.reason"), value: one.Reason}, {name: pg.say("reactors.attempts"), value: strconv.Itoa(one.Attempts)},
				{name: pg.say("reactors.tried"), value: pg.exactly(one.TriedAt)},
			},
			acts: []listLink{
				{href: pg.to("/operator/acts/retry", "name", name, "leaf", leaf), text: pg.say("act.retry")}, {href: pg.to("/operator/acts/drop", "name", name, "leaf", leaf), text: pg.say("act.drop")},
			},
		})
	}
	return p.show(w, r, http.StatusOK, reactorsPage(pg, v))
}

// operatorAct is an act of an operator, which a page of its own confirms.
type operatorAct struct {
	path          func(name string) string // of the API
	back          string                   // the page that follows
	named, reason bool                     // whether it is an act on something by name; whether it needs a reason
	leaf          bool                     // whether it is an act on an event
}

func fixed(path string) func(string) string { return func(string) string { return path } }

// operatorActs are the acts that the pages offer, by the word in their address.
var operatorActs = map[string]operatorAct{
	"rebuild": {path: func(name string) string { return "/projections/" + url.PathEscape(name) + "/rebuild" }, back: "/operator", named: true},
	"pause":   {path: func(name string) string { return "/reactors/" + url.PathEscape(name) + "/pause" }, back: "/operator/reactors", named: true, reason: true},
	"resume":  {path: func(name string) string { return "/reactors/" + url.PathEscape(name) + "/resume" }, back: "/operator/reactors", named: true, reason: true},
	"retry":   {path: fixed("/poisonedEvents/retry"), back: "/operator/reactors", named: true, reason: true, leaf: true},
	"drop":    {path: fixed("/poisonedEvents/drop"), back: "/operator/reactors", named: true, reason: true, leaf: true},
	"rotate":  {path: fixed("/keys/rotate"), back: "/operator/keys"},
	"retire":  {path: fixed("/keys/retire"), back: "/operator/keys"},
	"trim":    {path: fixed("/keys/trim"), back: "/operator/keys"},
}

// actView asks whether an act is meant.
type actView struct {
	act, name, leaf, back string
	reasons               []choice
}

// serveAct says what an act does, and asks whether it is meant.
func (p *Pages) serveAct(w http.ResponseWriter, r *http.Request, s session) error {
	name := r.PathValue("act")
	act, known := operatorActs[name]
	if !known || act.named != s.query.Has("name") || act.leaf != s.query.Has("leaf") {
		return errNoPage
	}
	pg := s.page("act." + name)
	v := actView{act: name, name: s.query.Get("name"), leaf: s.query.Get("leaf"), back: act.back}
	if act.reason {
		registry, err := p.registry(r.Context())
		if err != nil {
			return err
		}
		v.reasons = pg.reasons(registry, contract.ReasonKindUpdate, contract.ReasonKindReinstatement, contract.ReasonKindLegalHold)
	}
	return p.show(w, r, http.StatusOK, actPage(pg, v))
}

// answerAct does what was confirmed.
func (p *Pages) answerAct(w http.ResponseWriter, r *http.Request, s session) error {
	does, known := operatorActs[r.PathValue("act")]
	if !known {
		return errNoPage
	}
	f := r.PostForm
	var body any
	switch reason := contract.ReasonCode(f.Get("reason")); {
	case does.leaf:
		leaf, err := strconv.ParseInt(f.Get("leaf"), 10, 64)
		if err != nil {
			return errNoPage
		}
		body = contract.PoisonAct{Leaf: leaf, Reactor: contract.ReactorName(f.Get("name")), Reason: reason}
	case does.reason:
		body = contract.OperatorReason{Reason: reason}
	}
	ask, err := act(r.Context(), s, does.path(f.Get("name")), f.Get("key"), body)
	if err != nil {
		return err
	}
	a := &reply{header: http.Header{}}
	p.API.ServeHTTP(a, ask)
	if a.status < 200 || a.status > 299 {
		return refused(a)
	}
	http.Redirect(w, r, does.back, http.StatusSeeOther)
	return nil
}
