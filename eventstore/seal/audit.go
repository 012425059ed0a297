package seal

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"coffre/domain"
	"coffre/eventstore/seal/keysdb"
)

// Audit makes the names by which the log calls those who act, under the audit key. The
// key has versions: a name begins with the version that made it, so that names of one
// version can be compared and those of others cannot be mistaken for them. A version is
// destroyed when the second one after it is made.
type Audit struct {
	keys []DeploymentKey // the latest first, at least one
}

// Audit returns the audit keys that this process has read last.
func (r *Ring) Audit() Audit { return *r.audit.Load() }

// nameSize is the bytes of an HMAC that make a name.
const nameSize = 16

func auditName(k DeploymentKey, label string, of []byte) string {
	sum := k.MAC([]byte(label+"\x00"), of)
	return strconv.Itoa(k.Version) + "." + base64.RawURLEncoding.EncodeToString(sum[:nameSize])
}

// Subject returns the name of a token's subject under the latest key; "" for no subject.
func (a Audit) Subject(subject string) string {
	if subject == "" {
		return ""
	}
	return auditName(a.keys[0], "subject/v1", []byte(subject))
}

// Citizen returns the name of a citizen under the latest key. It comes from the id of
// this life and from nothing of the login, so that another life has another name.
func (a Audit) Citizen(id domain.CitizenID) string {
	if id.IsZero() {
		return ""
	}
	return auditName(a.keys[0], "citizen/v1", id.UUID[:])
}

// Case returns the name of a case's reference under the latest key, by which the log can
// tell that two acts belong together; "" for no case.
func (a Audit) Case(reference string) string {
	if reference == "" {
		return ""
	}
	return auditName(a.keys[0], "case/v1", []byte(reference))
}

// Subjects returns every name that the log may have for a token's subject: under each key
// that is left, and as names were before they had a version.
func (a Audit) Subjects(subject string) []string {
	if subject == "" {
		return nil
	}
	var all []string
	for _, k := range a.keys {
		all = append(all, auditName(k, "subject/v1", []byte(subject)))
		if k.Version == 1 {
			sum := k.MAC([]byte("subject/v1\x00"), []byte(subject))
			all = append(all, base64.RawURLEncoding.EncodeToString(sum[:nameSize]))
		}
	}
	return all
}

// Comparable reports whether the key that made a name of a token's subject is left, so that
// [Audit.Subjects] has the name if it is of that subject.
func (a Audit) Comparable(name string) bool {
	version, _, versioned := strings.Cut(name, ".")
	if !versioned {
		version = "1"
	}
	return name != "" && slices.ContainsFunc(a.keys, func(k DeploymentKey) bool { return strconv.Itoa(k.Version) == version })
}

// CitizenLoginTag returns a name of a login under a key of the citizen, which is destroyed
// with them: by it an approver is compared with a citizen who asked, and after the
// erasure nobody can.
func (r *Ring) CitizenLoginTag(ctx context.Context, citizen domain.CitizenID, login string) (string, error) {
	var tag string
	err := r.using(ctx, citizen, func(s *subject) error {
		// What is tagged otherwise under this key is a JSON object.
		sum := s.contentTag.mac([]byte("coffre/login/v1\x00"), []byte(login))
		tag = loginTag + base64.RawURLEncoding.EncodeToString(sum[:nameSize])
		return nil
	})
	return tag, err
}

const loginTag = "k."

// IsLoginTag reports whether a name is one of [Ring.CitizenLoginTag].
func IsLoginTag(name string) bool { return strings.HasPrefix(name, loginTag) }

// auditVersionsKept is the number of versions of the audit key that are left after a
// rotation: what was named before the last one can still be compared.
const auditVersionsKept = 2

// RotateAudit makes a new version of the audit key, destroys those that are too old to be
// kept, and returns the new version. Other processes name with it within a lease.
func (r *Rotator) RotateAudit(ctx context.Context) (int, error) {
	return r.rotateDeployment(ctx, AuditKey, auditVersionsKept, func() (int, error) {
		err := r.ring.readAudit(ctx)
		return r.ring.Audit().keys[0].Version, err
	})
}

// rotateDeployment makes a new version of a deployment key and destroys the oldest, so that so
// many are kept. read brings this process up to date and returns the latest version, or a
// refusal.
func (r *Rotator) rotateDeployment(ctx context.Context, name string, kept int, read func() (int, error)) (int, error) {
	for attempt := 0; ; attempt++ {
		was, err := read()
		if err != nil {
			return 0, err
		}
		next := was + 1
		k := newKey()
		wrapped, err := r.ring.wraps.one(ctx, &WrapItem{Plain: k[:], AAD: deploymentAAD(name, next)})
		if err != nil {
			return 0, fmt.Errorf("wrap %s key: %w", name, err)
		}
		now := r.ring.micros()
		stale, err := keysdb.Do(ctx, r.ring.db, func(tx *keysdb.Tx) (stale bool, err error) {
			at, err := stateIn(tx)
			if err != nil || wrapped.Version < at.floor {
				return true, err
			}
			var latest int
			if err := tx.Row(`SELECT max(version) FROM deployment_keys WHERE name = ?`, []any{name}, &latest); err != nil {
				return false, err
			}
			if latest != was {
				return true, nil
			}
			if err := tx.Insert(deploymentKeys, name, next, wrapped.Bytes, wrapped.Version, now); err != nil {
				return false, err
			}
			return false, removeDeploymentKeys(tx, `name = ? AND version <= ?`, name, next-kept)
		})
		switch {
		case err != nil:
			return 0, unavailable(ctx, "rotate "+name+" key", err)
		case !stale:
			_, err := read()
			return next, errors.Join(ignoreRefusal(err), r.ring.scrub(ctx))
		}
		if err := r.ring.catchUp(ctx, attempt); err != nil {
			return 0, err
		}
	}
}

// ignoreRefusal returns a fault, and nil for a refusal: what was rotated a moment ago is not
// rotated again.
func ignoreRefusal(err error) error {
	if refusal, ok := errors.AsType[*domain.Error](err); ok && refusal != nil {
		return nil
	}
	return err
}

// readAudit reads the versions of the audit key that this process does not know, and
// forgets those that are gone.
func (r *Ring) readAudit(ctx context.Context) error {
	r.auditing.Lock()
	defer r.auditing.Unlock()
	keys, err := r.readVersions(ctx, AuditKey, r.Audit().keys)
	if err == nil && keys != nil {
		r.audit.Store(&Audit{keys})
	}
	return err
}

// readVersions returns the versions of a deployment key that there are now, the latest first,
// and unwraps those that are not among have; nil when they are those.
func (r *Ring) readVersions(ctx context.Context, name string, had []DeploymentKey) ([]DeploymentKey, error) {
	var rows []deploymentRow
	err := r.db.Each(ctx, deploymentKeys, `name = ? ORDER BY version DESC`, []any{name}, func(e *keysdb.Entry, damage error) error {
		rows = append(rows, deploymentRowOf(e))
		return damage
	})
	if err != nil {
		return nil, unavailable(ctx, "read versions of a deployment key", err)
	}
	have := map[int]DeploymentKey{}
	for _, k := range had {
		have[k.Version] = k
	}
	var unseen []deploymentRow
	for _, row := range rows {
		if _, known := have[row.Version]; !known {
			unseen = append(unseen, row)
		}
	}
	if len(unseen) == 0 && len(rows) == len(have) || len(rows) == 0 {
		return nil, nil
	}
	opened, err := r.unwrapDeployment(ctx, unseen)
	if err != nil {
		return nil, err
	}
	for _, k := range opened {
		have[k.Version] = k
	}
	var keys []DeploymentKey
	for _, row := range rows {
		keys = append(keys, have[row.Version])
	}
	return keys, nil
}
