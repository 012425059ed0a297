package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3"

	"coffre/eventstore"
	"coffre/eventstore/kurrent"
	"coffre/eventstore/leaves"
	"coffre/eventstore/postgres"
	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/sqlite"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/reactors"
	"coffre/projections"
	"coffre/projections/pgmodels"
	"coffre/projections/sqlitemodels"
)

// StoresConfig says where the vault keeps what it knows. Each is sqlite:DIR, or
// postgres://user@host:port/database, whose password comes from PGPASSWORD or
// PGPASSFILE if it is not in the variable; the events may be in KurrentDB.
type StoresConfig struct {
	Log        string // COFFRE_STORE: the events, also esdb://...; default the data directory
	ReadModels string // COFFRE_READMODELS: default where the events are, or the data directory
	Keys       string // COFFRE_KEYS: the key ring, requests and reactors; default where the read models are
}

const (
	onSQLite    = "sqlite:"
	leavesFile  = "leaves.db" // numbers of the events in KurrentDB
	processFile = "process"   // the id of the process that owns this directory
)

// Variables that hold addresses, with a password if need be.
const (
	StoreVariable      = "COFFRE_STORE"
	ReadModelsVariable = "COFFRE_READMODELS"
	KeysVariable       = "COFFRE_KEYS"
)

// StoresFromEnv reads the addresses of the log, the read models and the keys from the
// variables of those names, and reports all that is wrong with them, without repeating
// one.
func StoresFromEnv(lookup func(string) string, variables [3]string) (StoresConfig, error) {
	c := StoresConfig{Log: lookup(variables[0]), ReadModels: lookup(variables[1]), Keys: lookup(variables[2])}
	var wrong []error
	for i, address := range []string{c.Log, c.ReadModels, c.Keys} {
		if !KnownPlace(address) && !(i == 0 && OnKurrent(address)) {
			wrong = append(wrong, fmt.Errorf("%s is sqlite:DIR or postgres://user@host:port/database", variables[i]))
		}
	}
	return c, errors.Join(wrong...)
}

// SQLiteDir returns the directory that an address of SQLite names.
func SQLiteDir(address string) (dir DataDir, ok bool) {
	name, ok := strings.CutPrefix(address, onSQLite)
	return DataDir(name), ok
}

// KnownPlace reports whether read models and keys can be at an address.
func KnownPlace(address string) bool {
	dir, file := SQLiteDir(address)
	return address == "" || file && dir != "" || OnPostgres(address)
}

// OnPostgres reports whether an address is of a PostgreSQL.
func OnPostgres(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// OnKurrent reports whether an address is of a KurrentDB.
func OnKurrent(address string) bool {
	return strings.HasPrefix(address, "esdb://") || strings.HasPrefix(address, "esdb+discover://")
}

// In fills in what is not said, for a vault of that directory.
func (c StoresConfig) In(dir DataDir) StoresConfig {
	if c.Log == "" {
		c.Log = onSQLite + string(dir)
	}
	switch {
	case c.ReadModels != "":
	case OnKurrent(c.Log):
		c.ReadModels = onSQLite + string(dir)
	default:
		c.ReadModels = c.Log
	}
	if c.Keys == "" {
		c.Keys = c.ReadModels
	}
	return c
}

// directories returns those that the addresses name.
func (c StoresConfig) directories() []DataDir {
	var all []DataDir
	for _, address := range []string{c.Log, c.ReadModels, c.Keys} {
		if dir, file := SQLiteDir(address); file {
			all = append(all, dir)
		}
	}
	return all
}

// errAloneKeys says that processes which share a log and not its keys would each make
// keys of their own.
var errAloneKeys = errors.New("with the events in PostgreSQL the keys must be there, too, or every process would have keys of its own: set " + KeysVariable)

const (
	roomBytes   = 8 << 20 // kept for what must pass on a full disk: some 2,000 withdrawals, and what a start makes
	roomToStart = 2 << 20 // what the files that a start makes may need
)

// ErrElsewhere says that the databases of a data directory are not in it, and that nothing
// says where they are. An empty log made in it would look like one that lost everything.
var ErrElsewhere = errors.New("the databases of this data directory lie elsewhere: give their addresses as to the process that serves it, by --store, --readmodels and --keys or by " +
	StoreVariable + ", " + ReadModelsVariable + " and " + KeysVariable + " (docs/stores.md)")

// elsewhere returns ErrElsewhere when a directory was served with databases that at does not
// name: a process that shares its keys leaves its id, and a log in KurrentDB its leaf index.
func elsewhere(dir DataDir, at StoresConfig) error {
	shared, err := isThere(dir.File(processFile))
	if err != nil {
		return err
	}
	if shared && !OnPostgres(at.Keys) {
		return ErrElsewhere
	}
	numbered, err := isThere(dir.File(leavesFile))
	if err != nil {
		return err
	}
	own, inFile := SQLiteDir(at.Log)
	if !inFile || !shared && !numbered {
		return nil
	}
	if there, err := isThere(own.File(sqlite.FileName)); err != nil || there && !numbered {
		return err
	}
	return ErrElsewhere
}

// stores are the databases of one vault.
type stores struct {
	at       StoresConfig
	dir      DataDir
	logger   *slog.Logger
	report   func(*eventstore.Corrupt) // told of what in the log is not what was recorded
	onClose  func(func() error)
	room     *sqlitedb.Reserve // for what must pass on a full disk; nil: no database lies in files
	log      eventstore.Store
	leaves   *leaves.Index // nil: the log's positions count its leaves
	keys     *keysdb.DB
	models   projections.Medium
	reactors *reactors.DB
	leases   *pgdb.Session // of what only one process may do; nil: there is no other
	// acceptLoss keeps in ahead a leaf index that has numbered more than the log holds,
	// instead of failing; leaves is nil then.
	acceptLoss bool
	ahead      *leaves.Ahead
}

// openStores opens the log; the rest is opened when its turn comes. A directory
// beside dir belongs to this process until onClose's functions have run. What is found in
// the log that is not what was recorded is reported, from many goroutines.
func openStores(ctx context.Context, dir DataDir, o Options, report func(*eventstore.Corrupt), onClose func(func() error)) (*stores, error) {
	s := &stores{at: o.Stores.In(dir), dir: dir, logger: o.Logger, report: report, onClose: onClose, acceptLoss: o.acceptLoss}
	if OnPostgres(s.at.Log) && !OnPostgres(s.at.Keys) {
		return nil, errAloneKeys
	}
	if err := elsewhere(dir, s.at); err != nil {
		return nil, err
	}
	owned := map[DataDir]bool{dir: true}
	for _, other := range s.at.directories() {
		if owned[other] {
			continue
		}
		owned[other] = true
		release, err := other.Own()
		if err != nil {
			return nil, err
		}
		onClose(release)
	}
	if len(s.at.directories()) > 0 {
		s.room = sqlitedb.NewReserve(s.folder(s.at.Log).File(sqlite.ReserveName), roomBytes)
		s.room.ReleaseUnless(roomToStart)
	}
	var err error
	switch {
	case OnPostgres(s.at.Log):
		s.log, err = postgres.Open(ctx, s.at.Log, postgres.Options{Gather: o.Gather})
	case OnKurrent(s.at.Log):
		if !s.shared() {
			s.logger.WarnContext(ctx, "the events are in KurrentDB and the keys in this process's directory: no other process may use these events")
		}
		return s, s.openKurrent(ctx)
	default:
		s.log, err = sqlite.Open(ctx, strings.TrimPrefix(s.at.Log, onSQLite), sqlite.Options{Gather: o.Gather, Reserve: s.room})
	}
	if err != nil {
		return nil, damagedFile(sqlite.FileName, err)
	}
	onClose(s.log.Close)
	return s, nil
}

// damagedFile says the way on where a database's file is not one, or not whole.
func damagedFile(name string, err error) error {
	if errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, sqlite3.NOTADB) {
		err = fmt.Errorf("%w: %s is damaged; keep the directory, and restore a backup into an empty one (deploy/runbooks/backup.md)", err, name)
	}
	return err
}

// openKurrent opens the log in KurrentDB, and what numbers its leaves.
func (s *stores) openKurrent(ctx context.Context) error {
	log, err := kurrent.Open(ctx, s.at.Log, kurrent.Options{Categories: projections.Categories(), Report: s.report})
	if err != nil {
		return err
	}
	s.log = log
	s.onClose(log.Close)
	err = s.openLeaves(ctx)
	if ahead, ok := errors.AsType[*leaves.Ahead](err); ok && s.acceptLoss {
		s.ahead = ahead
		return nil
	} else if ok {
		return (&cut{name: "the leaf index " + leavesFile, end: ahead.Head, seen: ahead.Last}).err()
	}
	return err
}

// openLeaves opens what numbers the leaves of a log in KurrentDB.
func (s *stores) openLeaves(ctx context.Context) error {
	index, err := leaves.Open(ctx, s.dir.File(leavesFile), s.log, s.report)
	if err != nil {
		return err
	}
	s.leaves = index
	s.onClose(index.Close)
	return nil
}

// leafIndex says which leaf lies where in the log.
func (s *stores) leafIndex() eventstore.LeafIndex {
	if s.leaves == nil {
		return eventstore.DenseLeaves{}
	}
	return s.leaves
}

// shared reports whether other processes may use the same keys.
func (s *stores) shared() bool { return OnPostgres(s.at.Keys) }

// folder returns the one for files of that part, when it lies in files.
func (s *stores) folder(address string) DataDir {
	if dir, file := SQLiteDir(address); file {
		return dir
	}
	return s.dir
}

// openKeysUnder opens the keeper and the key ring's database. A database in a file is opened
// last: that it is there tells of a key file that was lost.
func (s *stores) openKeysUnder(ctx context.Context, vault *TransitConfig) (keeper Keeper, err error) {
	if s.shared() {
		if err := s.openKeys(ctx); err != nil {
			return Keeper{}, err
		}
		keeper, err = openKeeperOf(ctx, s.dir, vault, s.keys, s.logger)
	} else {
		keeper, err = OpenKeeper(ctx, s.dir, vault, s.logger)
	}
	if err != nil {
		return Keeper{}, err
	}
	s.onClose(keeper.Close)
	if s.shared() {
		return keeper, nil
	}
	return keeper, s.openKeys(ctx)
}

func (s *stores) openKeys(ctx context.Context) (err error) {
	if !s.shared() {
		s.keys, err = keysdb.Open(ctx, s.folder(s.at.Keys).File(KeysFile), sqlitedb.Options{})
		err = damagedFile(KeysFile, err)
	} else {
		var doubts []string
		s.keys, doubts, err = keysdb.OpenPostgres(ctx, s.at.Keys)
		for _, doubt := range doubts {
			s.logger.WarnContext(ctx, doubt)
		}
	}
	if err != nil {
		return err
	}
	s.onClose(s.keys.Close)
	if !s.shared() {
		s.keys.UseReserve(s.room)
	}
	return nil
}

// openModels opens what the read models lie in, and what gives leases to one of
// several processes.
func (s *stores) openModels(ctx context.Context) (err error) {
	if !OnPostgres(s.at.ReadModels) {
		if err := s.openLeases(); err != nil {
			return err
		}
		s.models, err = sqlitemodels.Open(s.folder(s.at.ReadModels).File(modelsFolder))
		return err
	}
	medium, err := pgmodels.Open(ctx, s.at.ReadModels)
	if err != nil {
		return err
	}
	s.models = medium
	s.onClose(medium.Close)
	if sums, err := medium.Checksums(ctx); err != nil {
		return err
	} else if !sums {
		s.logger.WarnContext(ctx, "the PostgreSQL of the read models has no data checksums: bytes that change on its disk are shown to citizens as they are; stop the server and run pg_checksums --enable")
	}
	if s.at.Keys == s.at.ReadModels {
		s.leases = medium.Session()
		return nil
	}
	return s.openLeases()
}

// openLeases opens a session for leases of its own, beside the keys.
func (s *stores) openLeases() (err error) {
	if !s.shared() {
		return nil
	}
	if s.leases, err = pgdb.OpenSession(s.at.Keys); err != nil {
		return err
	}
	s.onClose(s.leases.Close)
	return nil
}

// openReactors opens what the reactors remember, beside the keys.
func (s *stores) openReactors(ctx context.Context) (err error) {
	if s.shared() {
		s.reactors, err = reactors.OpenPostgres(ctx, s.at.Keys)
	} else {
		s.reactors, err = reactors.Open(ctx, s.folder(s.at.Keys).File(ReactorsFile), sqlitedb.Options{})
	}
	if err != nil {
		return err
	}
	s.onClose(s.reactors.Close)
	return nil
}

// inOneDirectory reports whether the data directory holds everything, so that a
// backup of it is a backup of the vault.
func (s *stores) inOneDirectory() bool {
	whole := onSQLite + string(s.dir)
	return s.at == StoresConfig{whole, whole, whole}
}

// process returns the id of the process that owns the directory, the same after
// every start.
func (d DataDir) process() (uuid.UUID, error) {
	text, err := os.ReadFile(d.File(processFile))
	if err == nil {
		id, err := uuid.Parse(strings.TrimSpace(string(text)))
		if err == nil {
			return id, nil
		}
		// Cut off by a crash: leases under the former id end with their time.
	} else if !errors.Is(err, os.ErrNotExist) {
		return uuid.Nil, fmt.Errorf("data directory: %w", err)
	}
	id, err := uuid.NewRandom()
	if err == nil {
		err = os.WriteFile(d.File(processFile), []byte(id.String()+"\n"), 0o600)
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("data directory: %w", err)
	}
	return id, nil
}

// modelsFolder is the folder of read models in files.
const modelsFolder = "readmodels"
