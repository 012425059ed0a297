package seal

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"coffre/eventstore"
	"coffre/eventstore/seal/keysdb"
)

// Names of the keys of one deployment. They are for ever.
const (
	pepperKey      = "pepper"      // blind index of SSINs
	suppressionKey = "suppression" // SSINs of the erased
	RequestKey     = "request"     // bodies and identities of idempotent requests
	AuditKey       = "audit"       // subjects of tokens in the log
	PageTokenKey   = "pageToken"   // cursors given to callers
	attachmentKey  = "attachment"  // keys of files that no document holds yet
)

var deploymentNames = []string{pepperKey, suppressionKey, RequestKey, AuditKey, PageTokenKey, attachmentKey}

// DeploymentKey is a secret of this deployment, in memory. It never prints.
type DeploymentKey struct {
	Version int // from 1
	secret  key
}

// Bytes returns a copy of the 32 bytes of the key.
func (k DeploymentKey) Bytes() []byte { return append([]byte(nil), k.secret[:]...) }

// MAC returns HMAC-SHA256 under the key over the parts, one after the other.
func (k DeploymentKey) MAC(parts ...[]byte) [32]byte { return k.secret.mac(parts...) }

func (k DeploymentKey) String() string   { return "(deployment key)" }
func (k DeploymentKey) GoString() string { return k.String() }

// Format prints the placeholder for every verb.
func (k DeploymentKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// DeploymentKey returns the latest version of RequestKey, AuditKey or PageTokenKey.
func (r *Ring) DeploymentKey(name string) DeploymentKey {
	switch name {
	case AuditKey:
		return r.Audit().keys[0]
	case RequestKey, PageTokenKey:
		return r.deployment[name]
	}
	panic("seal: there is no deployment key " + strconv.Quote(name))
}

func deploymentAAD(name string, version int) []byte {
	return fmt.Appendf(nil, "coffre/deployment-key/v1/%s/%d", name, version)
}

type deploymentRow struct {
	Name    string `db:"name"`
	Version int    `db:"version"`
	Wrapped []byte `db:"wrapped"`
}

// openDeploymentKeys makes the keys that are missing, durably, and unwraps all.
// Of two processes that start at once one makes them.
func (r *Ring) openDeploymentKeys(ctx context.Context) error {
	rows, err := r.deploymentRows(ctx)
	if err != nil {
		return unavailable(ctx, "read deployment keys", err)
	}
	have := map[string]bool{}
	for _, row := range rows {
		have[row.Name] = true
	}
	var missing []string
	for _, name := range deploymentNames {
		if !have[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		if err := r.noSubjects(ctx, have); err != nil {
			return err
		}
		if err := r.makeDeploymentKeys(ctx, missing); err != nil {
			return err
		}
	}
	rows, keys, err := r.readDeploymentKeys(ctx)
	if err != nil {
		return err
	}
	r.deployment = map[string]DeploymentKey{}
	var audit Audit
	files := newFileKeys()
	for i, row := range rows { // by version, descending
		if row.Name == AuditKey {
			audit.keys = append(audit.keys, keys[i])
		}
		if _, newer := r.deployment[row.Name]; !newer {
			r.deployment[row.Name] = keys[i]
		}
		if row.Name == attachmentKey {
			files.add(keys[i])
		}
	}
	r.fileKeys.Store(files)
	for _, name := range deploymentNames {
		if _, ok := r.deployment[name]; !ok {
			return errors.New("deployment keys were made and are not there")
		}
	}
	r.audit.Store(&audit)
	return nil
}

// readDeploymentKeys reads and unwraps all deployment keys, by name and by version,
// descending.
func (r *Ring) readDeploymentKeys(ctx context.Context) (rows []deploymentRow, keys []DeploymentKey, err error) {
	for range maxStale {
		if rows, err = r.deploymentRows(ctx); err != nil {
			return nil, nil, unavailable(ctx, "read deployment keys", err)
		}
		if keys, err = r.unwrapDeployment(ctx, rows); !errors.Is(err, ErrUnknown) { // one was replaced meanwhile
			break
		}
	}
	return rows, keys, err
}

// unwrapDeployment opens deployment keys, in order. A row that was wrapped again and
// whose former version was retired since it was read is read once more.
func (r *Ring) unwrapDeployment(ctx context.Context, rows []deploymentRow) ([]DeploymentKey, error) {
	keys := make([]DeploymentKey, len(rows))
	for again := false; ; again = true {
		items := make([]UnwrapItem, len(rows))
		for i, row := range rows {
			items[i] = UnwrapItem{Wrapped: row.Wrapped, AAD: deploymentAAD(row.Name, row.Version)}
		}
		plain, err := r.kek.Unwrap(ctx, items)
		if err != nil {
			return nil, unavailable(ctx, "unwrap deployment keys", err)
		}
		retired := false
		for i, row := range rows {
			defer clear(plain[i].Plain)
			switch {
			case errors.Is(plain[i].Err, ErrRetired) && !again:
				retired = true
			case plain[i].Err != nil:
				return nil, fmt.Errorf("the key-encryption key is not the one of this database (deployment key %s): %w", row.Name, plain[i].Err)
			case len(plain[i].Plain) != keySize:
				return nil, fmt.Errorf("deployment key %s: %w", row.Name, ErrRefused)
			default:
				keys[i] = DeploymentKey{Version: row.Version, secret: key(plain[i].Plain)}
			}
		}
		if !retired {
			return keys, nil
		}
		for i := range rows {
			found, err := r.row(ctx, `SELECT wrapped FROM deployment_keys WHERE name = ? AND version = ?`, []any{rows[i].Name, rows[i].Version}, &rows[i].Wrapped)
			if err != nil {
				return nil, unavailable(ctx, "read deployment keys", err)
			}
			if !found { // it was replaced
				return nil, fmt.Errorf("deployment key %s: %w: %w", rows[i].Name, eventstore.ErrKeysUnavailable, ErrUnknown)
			}
		}
	}
}

// noSubjects returns an error when a key without which nobody is found again is
// gone while there are people to find.
func (r *Ring) noSubjects(ctx context.Context, have map[string]bool) error {
	if have[pepperKey] && have[suppressionKey] {
		return nil
	}
	var id int64
	found, err := r.row(ctx, `SELECT id FROM subjects LIMIT 1`, nil, &id)
	if err != nil {
		return unavailable(ctx, "read subjects", err)
	}
	if found {
		return errors.New("the key ring has citizens but not the deployment keys they are found by: restore it whole")
	}
	return nil
}

func (r *Ring) deploymentRows(ctx context.Context) ([]deploymentRow, error) {
	s, err := r.db.Read(`SELECT name, version, wrapped FROM deployment_keys ORDER BY name, version DESC`)
	if err != nil {
		return nil, err
	}
	var rows []deploymentRow
	return rows, s.SelectContext(ctx, &rows)
}

func (r *Ring) makeDeploymentKeys(ctx context.Context, names []string) error {
	const first = 1
	for attempt := 0; attempt < maxStale; attempt++ {
		items := make([]WrapItem, len(names))
		for i, name := range names {
			k := newKey()
			items[i] = WrapItem{Plain: k[:], AAD: deploymentAAD(name, first)}
			defer clear(k[:])
		}
		wrapped, err := r.kek.Wrap(ctx, items)
		if err != nil {
			return unavailable(ctx, "wrap deployment keys", err)
		}
		for _, w := range wrapped {
			if w.Err != nil {
				return keeperError(w.Err)
			}
		}
		now := r.micros()
		stale, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (stale bool, err error) {
			at, err := stateIn(tx)
			if err != nil {
				return false, err
			}
			for i, name := range names {
				if wrapped[i].Version < at.floor {
					return true, nil
				}
				if _, err := tx.Exec(`INSERT INTO deployment_keys (name, version, wrapped, kek_version, created) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name, version) DO NOTHING`,
					name, first, wrapped[i].Bytes, wrapped[i].Version, now); err != nil {
					return false, err
				}
			}
			return false, nil
		})
		if err != nil && !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			return unavailable(ctx, "store deployment keys", err)
		}
		if !stale {
			return nil // on an unknown outcome the caller reads what is there
		}
	}
	return errStale
}
