package seal

import (
	"context"
	"errors"
	"fmt"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// People are found by a blind index of their number: an HMAC under the pepper. A
// new pepper means a new index for everyone, made while everyone goes on:
//
//	settled ─BeginPepper→ doubled ─SwitchPepper→ switched ─DropPepper→ dropping → settled
//
//	doubled   numbers are added under both peppers and looked for under the old one;
//	          BackfillPepper adds what is missing under the new one
//	switched  numbers are still added under both and looked for under the new one
//	dropping  the old pepper is used no more; its rows go, then it goes itself
//
// The suppression key is replaced with the pepper: the digest that stands beside a number
// found under one version of the pepper is under the version of the suppression key that was
// made with it, or the last one before. What is remembered of the erased stays under the
// version of then, because their numbers are gone, and is looked for under each version that is
// left; a version goes when nothing is remembered under it.
//
// Invariant: the pepper that is looked under has every number, and two processes
// always add under one pepper in common, whose index is unique: nobody is missed and
// nobody is enrolled twice. A process that is a step behind learns it in the same
// transaction, or the same statement, in which it would have used the former peppers, and
// then uses the new ones.

// PepperPhase is a step of the rotation of the pepper.
type PepperPhase int

// The phases of a rotation, in order.
const (
	PepperSettled  PepperPhase = 1
	PepperDoubled  PepperPhase = 2
	PepperSwitched PepperPhase = 3
	PepperDropping PepperPhase = 4
)

// errStale: a change was refused because another process went on with a rotation.
var errStale = errors.New("seal: the keys were rotated meanwhile")

// maxStale bounds how often in a row one call may find itself behind.
const maxStale = 10

// peppers are the secrets under which numbers are indexed, as of one epoch. It is never changed.
type peppers struct {
	epoch int64
	phase PepperPhase
	// use has the pepper to look under first; numbers are added under all of them.
	use []DeploymentKey
	// next is the new pepper while it is not looked under yet, old the former one until
	// it is gone; 0 for none.
	next, old int
	// memories are the versions of the suppression key, the latest first.
	memories []DeploymentKey
}

func (p *peppers) look() DeploymentKey { return p.use[0] }

// memoryOf returns the version of the suppression key that goes with a version of the pepper.
func (p *peppers) memoryOf(pepper int) DeploymentKey {
	for _, k := range p.memories {
		if k.Version <= pepper {
			return k
		}
	}
	return p.memories[len(p.memories)-1]
}

// blindIndex is how one number is found under one pepper.
type blindIndex struct {
	hash   [32]byte
	pepper int      // version
	memory [32]byte // the digest by which the number is remembered once its person is erased
}

// blindOf is the index a number is found by: nobody can compute it, or try all
// numbers, without the pepper.
func blindOf(pepper DeploymentKey, ssin domain.SSIN) [32]byte {
	return pepper.MAC([]byte("ssin/v1\x00"), []byte(ssin.Reveal()))
}

// blinds is a number under all peppers it is to be added under, that it is looked for under
// first, and under all versions of the suppression key, the latest first.
type blinds struct {
	epoch      int64
	of         []blindIndex
	remembered []suppressed
}

func (r *Ring) blinds(ssin domain.SSIN) blinds { return r.peppers.Load().blinds(ssin) }

func (p *peppers) blinds(ssin domain.SSIN) blinds {
	b := blinds{epoch: p.epoch}
	for _, pepper := range p.use {
		b.of = append(b.of, blindIndex{blindOf(pepper, ssin), pepper.Version, memoryUnder(p.memoryOf(pepper.Version), ssin)})
	}
	for _, k := range p.memories {
		b.remembered = append(b.remembered, echoed(k, memoryUnder(k, ssin)))
	}
	return b
}

// ringState is the row of ring_state.
type ringState struct {
	floor        int
	epoch        int64
	phase        PepperPhase
	pepper, next int
}

func stateIn(tx *keysdb.Tx) (ringState, error) {
	e, err := tx.Entry(ringStates, `id = 1`)
	if err == nil && e == nil {
		err = tx.Missing(ringStates)
	}
	if err != nil {
		return ringState{}, err
	}
	return ringStateOf(e), nil
}

func ringStateOf(e *keysdb.Entry) ringState {
	return ringState{
		floor: int(e.Int("kek_floor")), epoch: e.Int("pepper_epoch"), phase: PepperPhase(e.Int("pepper_phase")),
		pepper: int(e.Int("pepper")), next: int(e.Int("next_pepper")),
	}
}

// changeState changes the row of ring_state.
func changeState(tx *keysdb.Tx, change func(*keysdb.Entry)) error {
	n, err := tx.Update(ringStates, `id = 1`, nil, change)
	if err == nil && n == 0 {
		err = tx.Missing(ringStates)
	}
	return err
}

// arrange says which peppers a phase uses; have holds all there are by version.
func (s ringState) arrange(have map[int]DeploymentKey) (*peppers, error) {
	p := &peppers{epoch: s.epoch, phase: s.phase}
	var use []int
	switch s.phase {
	case PepperSettled:
		use = []int{s.pepper}
	case PepperDoubled:
		use, p.next = []int{s.pepper, s.next}, s.next
	case PepperSwitched:
		use, p.old = []int{s.next, s.pepper}, s.pepper
	case PepperDropping:
		use, p.old = []int{s.next}, s.pepper
	}
	for _, version := range use {
		k, ok := have[version]
		if !ok {
			return nil, fmt.Errorf("version %d of the pepper: %w", version, ErrUnknown)
		}
		p.use = append(p.use, k)
	}
	if len(p.use) == 0 {
		return nil, fmt.Errorf("phase %d of the pepper: %w", s.phase, ErrUnknown)
	}
	return p, nil
}

var readPepper = `SELECT ` + ringStates.Of("e") + `, ` + deploymentKeys.Of("d") + ` FROM ring_state e JOIN deployment_keys d ON d.name IN (?, ?) WHERE e.id = 1 ORDER BY d.version DESC`

// readPeppers brings this process to the step the rotation is at, with a call to the
// key-encryption key for a pepper it has not seen.
func (r *Ring) readPeppers(ctx context.Context) error {
	r.peppering.Lock()
	defer r.peppering.Unlock()
	var s ringState
	var rows []deploymentRow
	// One statement: the peppers are those of the step.
	err := r.db.Joined(ctx, readPepper, []any{pepperKey, suppressionKey}, []*keysdb.Table{ringStates, deploymentKeys}, func(found []*keysdb.Entry) error {
		s = ringStateOf(found[0])
		rows = append(rows, deploymentRowOf(found[1]))
		return nil
	})
	if err != nil {
		return unavailable(ctx, "read peppers", err)
	}
	have := map[string]map[int]DeploymentKey{pepperKey: {}, suppressionKey: {}}
	if known := r.peppers.Load(); known != nil {
		if known.epoch == s.epoch {
			return nil
		}
		for _, k := range known.use {
			have[pepperKey][k.Version] = k
		}
		for _, k := range known.memories {
			have[suppressionKey][k.Version] = k
		}
	}
	var unseen []deploymentRow
	for _, row := range rows {
		if _, ok := have[row.Name][row.Version]; !ok {
			unseen = append(unseen, row)
		}
	}
	if len(unseen) > 0 {
		keys, err := r.unwrapDeployment(ctx, unseen)
		if err != nil {
			return err
		}
		for i, k := range keys {
			have[unseen[i].Name][k.Version] = k
		}
	}
	p, err := s.arrange(have[pepperKey])
	if err != nil {
		return unavailable(ctx, "read peppers", err)
	}
	for _, row := range rows {
		if row.Name == suppressionKey {
			p.memories = append(p.memories, have[suppressionKey][row.Version])
		}
	}
	if len(p.memories) == 0 {
		return unavailable(ctx, "read peppers", r.db.Missing(deploymentKeys))
	}
	r.peppers.Store(p)
	return nil
}

// catchUp is called when a change found itself behind, for the attempt-th time.
func (r *Ring) catchUp(ctx context.Context, attempt int) error {
	if attempt+1 >= maxStale {
		return fmt.Errorf("%w: %w", eventstore.ErrKeysUnavailable, errStale)
	}
	return r.readPeppers(ctx)
}
