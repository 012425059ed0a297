package seal

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"sync"

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
	rowsKey        = "rows"        // MACs of the rows of the key database
)

var deploymentNames = []string{pepperKey, suppressionKey, RequestKey, AuditKey, PageTokenKey, attachmentKey, rowsKey}

// DeploymentKey is a secret of this deployment, in memory. It never prints.
type DeploymentKey struct {
	Version int // from 1
	secret  key
	created int64      // microseconds since 1970
	former  bool       // it is wrapped as in a ring whose rows carried no MACs
	hashes  *sync.Pool // of hash.Hash: to begin one under the key costs several times what a short MAC does
}

func newDeploymentKey(version int, secret key) DeploymentKey {
	return DeploymentKey{Version: version, secret: secret, hashes: &sync.Pool{New: func() any { return hmac.New(sha256.New, secret[:]) }}}
}

// Bytes returns a copy of the 32 bytes of the key.
func (k DeploymentKey) Bytes() []byte { return append([]byte(nil), k.secret[:]...) }

// MAC returns HMAC-SHA256 under the key over the parts, one after the other.
func (k DeploymentKey) MAC(parts ...[]byte) (sum [32]byte) {
	h := k.hashes.Get().(hash.Hash)
	defer k.hashes.Put(h)
	h.Reset()
	for _, part := range parts {
		h.Write(part)
	}
	h.Sum(sum[:0])
	return sum
}

func (k DeploymentKey) String() string   { return "(deployment key)" }
func (k DeploymentKey) GoString() string { return k.String() }

// Format prints the placeholder for every verb.
func (k DeploymentKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// DeploymentKey returns the latest version of AuditKey or PageTokenKey, or the version of
// RequestKey that is in force.
func (r *Ring) DeploymentKey(name string) DeploymentKey {
	switch name {
	case AuditKey:
		return r.Audit().keys[0]
	case RequestKey:
		return r.requestKey(r.cfg.Now())
	case PageTokenKey:
		return r.deployment[name]
	}
	panic("seal: there is no deployment key " + strconv.Quote(name))
}

// deploymentAAD binds a wrapped key to its name, its version, and a ring whose rows carry
// MACs.
func deploymentAAD(name string, version int) []byte {
	return fmt.Appendf(nil, "coffre/deployment-key/v2/%s/%d", name, version)
}

// formerDeploymentAAD is what deploymentAAD was until rows carried MACs. A ring whose keys
// open under it has rows without, and gets them once ([Ring.protect]); its keys are wrapped
// anew when that has ended. So a ring of today cannot be passed off as one from before.
func formerDeploymentAAD(name string, version int) []byte {
	return fmt.Appendf(nil, "coffre/deployment-key/v1/%s/%d", name, version)
}

type deploymentRow struct {
	Name    string `db:"name"`
	Version int    `db:"version"`
	Wrapped []byte `db:"wrapped"`
	Created int64  `db:"created"`
}

func deploymentRowOf(e *keysdb.Entry) deploymentRow {
	return deploymentRow{e.Text("name"), int(e.Int("version")), e.Bytes("wrapped"), e.Int("created")}
}

// errNoRowsKey: somebody removed the key of the rows, or it was lost.
var errNoRowsKey = errors.New("the key ring lacks the key that its rows are verified with (row rows/1 of deployment_keys): restore it from a backup (deploy/runbooks/backup.md)")

// openDeploymentKeys makes the keys that are missing, durably, unwraps all, and has every
// row verified that is read from here on. Of two processes that start at once one makes them.
func (r *Ring) openDeploymentKeys(ctx context.Context) error {
	rows, err := r.deploymentRows(ctx)
	if err != nil {
		return unavailable(ctx, "read deployment keys", err)
	}
	if missing := missingNames(rows); len(missing) > 0 {
		if err := r.addDeploymentKeys(ctx, rows, missing); err != nil {
			return err
		}
	}
	rows, keys, err := r.readDeploymentKeys(ctx)
	if err != nil {
		return err
	}
	r.deployment = map[string]DeploymentKey{}
	var audit Audit
	var requests []DeploymentKey
	files := newFileKeys()
	for i, row := range rows { // by version, descending
		switch row.Name {
		case AuditKey:
			audit.keys = append(audit.keys, keys[i])
		case RequestKey:
			requests = append(requests, keys[i])
		case attachmentKey:
			files.add(keys[i])
		}
		if _, newer := r.deployment[row.Name]; !newer {
			r.deployment[row.Name] = keys[i]
		}
	}
	r.fileKeys.Store(files)
	for _, name := range deploymentNames {
		if _, ok := r.deployment[name]; !ok {
			return errors.New("deployment keys were made and are not there")
		}
	}
	r.audit.Store(&audit)
	r.requests.Store(&requests)
	if err := guardUnder(r.db, r.deployment[rowsKey]); err != nil {
		return err
	}
	return r.protect(ctx, rows, keys)
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

func missingNames(rows []deploymentRow) (missing []string) {
	for _, name := range deploymentNames {
		if !slices.ContainsFunc(rows, func(row deploymentRow) bool { return row.Name == name }) {
			missing = append(missing, name)
		}
	}
	return missing
}

// addDeploymentKeys makes the keys that a ring with these rows lacks: all of a new one's,
// or those that came with a later version of Coffre.
func (r *Ring) addDeploymentKeys(ctx context.Context, rows []deploymentRow, missing []string) error {
	have := map[string]bool{}
	for _, row := range rows {
		have[row.Name] = true
	}
	if err := r.noSubjects(ctx, have); err != nil {
		return err
	}
	if have[rowsKey] || len(rows) == 0 {
		return r.makeDeploymentKeys(ctx, missing, rows)
	}
	// Without a key for rows it is a ring from before, or somebody removed the key: then
	// the others are bound to it and open only as of today.
	if _, err := r.unwrapUnder(ctx, formerDeploymentAAD, rows); err != nil {
		if errors.Is(err, ErrRefused) {
			return errNoRowsKey
		}
		return err
	}
	return r.makeDeploymentKeys(ctx, missing, rows)
}

// protect has every row verified from here on, and verifies those that concern everybody.
func (r *Ring) protect(ctx context.Context, rows []deploymentRow, keys []DeploymentKey) error {
	former := slices.ContainsFunc(keys, func(k DeploymentKey) bool { return k.former })
	var err error
	if former {
		err = r.protectFormer(ctx, rows, keys)
	} else {
		err = r.db.Protect(ctx, tables, deploymentKeys)
	}
	if err != nil {
		return unavailable(ctx, "protect the rows of the key ring", err)
	}
	found, err := r.db.Check(ctx, append([]*keysdb.Table{suppressions, suppressionOrder}, everybodys...)...)
	if err != nil {
		return unavailable(ctx, "verify the key ring", err)
	}
	for _, d := range found {
		if slices.ContainsFunc(everybodys, func(t *keysdb.Table) bool { return t.Name == d.Table }) {
			return fmt.Errorf("%w: it concerns everybody, so nothing is served; `coffre keys restore` brings it back from a backup (deploy/runbooks/backup.md)", d)
		}
	}
	return unavailable(ctx, "order the suppressions", r.orderSuppressions(ctx, found))
}

// protectFormer gives MACs to the rows of a ring from before, in batches. That they are all
// there is then bound into the wrapped deployment keys.
func (r *Ring) protectFormer(ctx context.Context, rows []deploymentRow, keys []DeploymentKey) error {
	if err := r.echoSuppressions(ctx); err != nil {
		return err
	}
	wrapped, err := r.wrapDeployment(ctx, rows, keys)
	if err != nil {
		return err
	}
	return r.db.ProtectFormer(ctx, tables, func(tx *keysdb.Tx) error {
		at, err := stateIn(tx)
		if err != nil {
			return err
		}
		for i, row := range rows {
			if wrapped[i].Version < at.floor {
				return errStale
			}
			if _, err := tx.Update(deploymentKeys, `name = ? AND version = ?`, []any{row.Name, row.Version}, func(e *keysdb.Entry) {
				e.Set("wrapped", wrapped[i].Bytes)
				e.Set("kek_version", wrapped[i].Version)
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// OpenRows has the rows of a key database verified without opening a ring: for who looks at
// rows of which some may be damaged, those that concern everybody too. The key of the rows
// is read from keyIn, the database itself or a backup of it. It returns ErrUnknown for
// one whose rows carry no MACs yet.
func OpenRows(ctx context.Context, db, keyIn *keysdb.DB, kek KEK) error {
	if err := errors.Join(Migrate(ctx, db), Migrate(ctx, keyIn)); err != nil {
		return err
	}
	r := &Ring{db: keyIn, kek: kek}
	all, err := r.deploymentRows(ctx)
	if err != nil {
		return unavailable(ctx, "read deployment keys", err)
	}
	rows := slices.DeleteFunc(all, func(row deploymentRow) bool { return row.Name != rowsKey })
	if len(rows) == 0 {
		return fmt.Errorf("the key of the rows: %w", ErrUnknown)
	}
	keys, err := r.unwrapUnder(ctx, deploymentAAD, rows)
	if err != nil {
		return err
	}
	if err := guardUnder(db, keys[0]); err != nil {
		return err
	}
	return db.Protect(ctx, tables, deploymentKeys)
}

// wrapDeployment wraps keys anew under deploymentAAD.
func (r *Ring) wrapDeployment(ctx context.Context, rows []deploymentRow, keys []DeploymentKey) ([]Wrapped, error) {
	items := make([]WrapItem, len(rows))
	for i, row := range rows {
		items[i] = WrapItem{Plain: keys[i].Bytes(), AAD: deploymentAAD(row.Name, row.Version)}
		defer clear(items[i].Plain)
	}
	wrapped, err := r.kek.Wrap(ctx, items)
	if err != nil {
		return nil, unavailable(ctx, "wrap deployment keys", err)
	}
	for _, w := range wrapped {
		if w.Err != nil {
			return nil, keeperError(w.Err)
		}
	}
	return wrapped, nil
}

// echoSuppressions adds the second way to suppressions from before there was one.
func (r *Ring) echoSuppressions(ctx context.Context) error {
	_, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (struct{}, error) {
		var all []struct {
			SSIN []byte `db:"ssin"`
		}
		if err := tx.Select(&all, `SELECT ssin FROM suppressions WHERE echo IS NULL AND mac IS NULL`); err != nil {
			return struct{}{}, err
		}
		for _, s := range all {
			if len(s.SSIN) != 32 {
				continue
			}
			echo := echoed(r.deployment[suppressionKey], [32]byte(s.SSIN)).echo
			if _, err := tx.Exec(`UPDATE suppressions SET echo = ? WHERE ssin = ? AND mac IS NULL`, echo[:], s.SSIN); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return err
}

// unwrapDeployment opens deployment keys, in order: those of a ring from before, too.
func (r *Ring) unwrapDeployment(ctx context.Context, rows []deploymentRow) ([]DeploymentKey, error) {
	keys, err := r.unwrapUnder(ctx, deploymentAAD, rows)
	if !errors.Is(err, ErrRefused) {
		return keys, err
	}
	// The key of the rows was always bound as today; the others are when all rows have MACs.
	aad := func(name string, version int) []byte {
		if name == rowsKey {
			return deploymentAAD(name, version)
		}
		return formerDeploymentAAD(name, version)
	}
	former, again := r.unwrapUnder(ctx, aad, rows)
	if again != nil {
		return nil, err
	}
	for i := range former {
		former[i].former = rows[i].Name != rowsKey
	}
	return former, nil
}

// unwrapUnder opens deployment keys that are bound to aad, in order. A row that was wrapped
// again and whose former version was retired since it was read is read once more.
func (r *Ring) unwrapUnder(ctx context.Context, aad func(name string, version int) []byte, rows []deploymentRow) ([]DeploymentKey, error) {
	keys := make([]DeploymentKey, len(rows))
	for again := false; ; again = true {
		items := make([]UnwrapItem, len(rows))
		for i, row := range rows {
			items[i] = UnwrapItem{Wrapped: row.Wrapped, AAD: aad(row.Name, row.Version)}
		}
		plain, err := r.kek.Unwrap(ctx, items)
		if err != nil {
			return nil, unavailable(ctx, "unwrap deployment keys", err)
		}
		var failed []string
		var first error
		retired := false
		for i, row := range rows {
			defer clear(plain[i].Plain)
			switch {
			case errors.Is(plain[i].Err, ErrRetired) && !again:
				retired = true
			case plain[i].Err == nil && len(plain[i].Plain) != keySize:
				plain[i].Err = ErrRefused
				fallthrough
			case plain[i].Err != nil:
				failed = append(failed, fmt.Sprintf("%s/%d", row.Name, row.Version))
				first = cmp.Or(first, plain[i].Err)
			default:
				keys[i] = newDeploymentKey(row.Version, key(plain[i].Plain))
				keys[i].created = row.Created
			}
		}
		switch {
		case len(failed) == len(rows) && len(failed) > 0:
			return nil, fmt.Errorf("the key-encryption key is not the one of this database (deployment key %s): %w", failed[0], first)
		case len(failed) > 0:
			return nil, fmt.Errorf("row %s of deployment_keys is damaged, and concerns everybody: bring it back from a backup (deploy/runbooks/backup.md): %w", strings.Join(failed, ", "), first)
		case !retired:
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
	s, err := r.db.Read(`SELECT name, version, wrapped, created FROM deployment_keys ORDER BY name, version DESC`)
	if err != nil {
		return nil, err
	}
	var rows []deploymentRow
	return rows, s.SelectContext(ctx, &rows)
}

// guardWith has rows verified under the key of these rows, if it is among them and the
// ring's rows carry MACs.
func (r *Ring) guardWith(ctx context.Context, rows []deploymentRow) error {
	i := slices.IndexFunc(rows, func(row deploymentRow) bool { return row.Name == rowsKey })
	if i < 0 {
		r.db.Guard(nil)
		return nil
	}
	keys, err := r.unwrapDeployment(ctx, rows)
	if err != nil || slices.ContainsFunc(keys, func(k DeploymentKey) bool { return k.former }) {
		return err
	}
	return guardUnder(r.db, keys[i])
}

// guardUnder has the rows of a key database verified under the deployment key of rows.
func guardUnder(db *keysdb.DB, k DeploymentKey) error {
	keys, err := k.rowKeys()
	if err != nil {
		return err
	}
	db.Guard(keys)
	return nil
}

// makeDeploymentKeys makes keys of these names in a ring that had these rows, unless
// another process was faster.
func (r *Ring) makeDeploymentKeys(ctx context.Context, names []string, had []deploymentRow) error {
	const first = 1
	rows := make([]deploymentRow, len(names))
	keys := make([]DeploymentKey, len(names))
	for i, name := range names {
		rows[i] = deploymentRow{Name: name, Version: first}
		keys[i] = newDeploymentKey(first, newKey())
		defer clear(keys[i].secret[:])
	}
	// A new ring's rows carry MACs from the first one on; in one from before all get it later.
	if len(had) > 0 {
		if err := r.guardWith(ctx, had); err != nil {
			return err
		}
	} else if err := guardUnder(r.db, keys[slices.Index(names, rowsKey)]); err != nil {
		return err
	}
	for attempt := 0; attempt < maxStale; attempt++ {
		wrapped, err := r.wrapDeployment(ctx, rows, keys)
		if err != nil {
			return err
		}
		now := r.micros()
		stale, err := keysdb.Do(ctx, r.db, func(tx *keysdb.Tx) (stale bool, err error) {
			var floor, there int
			if err := tx.Row(`SELECT kek_floor FROM ring_state WHERE id = 1`, nil, &floor); err != nil {
				return false, err
			}
			if err := tx.Row(`SELECT count(*) FROM deployment_keys`, nil, &there); err != nil || there != len(had) {
				return false, err // another process made them
			}
			for i, row := range rows {
				if wrapped[i].Version < floor {
					return true, nil
				}
				if err := tx.Insert(deploymentKeys, row.Name, row.Version, wrapped[i].Bytes, wrapped[i].Version, now); err != nil {
					return false, err
				}
			}
			if len(had) == 0 {
				err = tx.Establish(tables)
			}
			return false, err
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
