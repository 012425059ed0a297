package vault

import (
	"coffre/eventstore/postgres/pgdb"
)

// Duty says what a process of a vault does with keys. Where processes share the keys each
// duty has a process and a role in the database of its own, so that the server itself
// refuses to the ones that answer requests what only the destroyer or the rotator may do
// (docs/decisions/0022-duties.md).
type Duty int

const (
	// Alone is the one process of a data directory: it answers, destroys and rotates.
	Alone Duty = iota
	// Serving answers requests, and neither destroys keys nor replaces any.
	Serving
	// Destroying carries out approved erasures and signs their certificates.
	Destroying
	// Rotating replaces the key-encryption key and the pepper.
	Rotating
)

// destroys and rotates report whether a process takes these authorities over the key ring.
func (d Duty) destroys() bool { return d == Alone || d == Destroying }
func (d Duty) rotates() bool  { return d == Alone || d == Rotating }

// answers reports whether a process serves the contract to others, and reacts for them.
func (d Duty) answers() bool { return d == Alone || d == Serving }

// of returns the configuration with the logins that a duty needs: what a process has no
// login for, it cannot do, whatever becomes of it.
func (v *TransitConfig) of(d Duty) *TransitConfig {
	if v == nil {
		return nil
	}
	own := *v
	own.shared = d != Alone
	if !d.rotates() {
		own.Rotator = TransitLogin{}
	}
	if !d.destroys() {
		own.Destroyer = TransitLogin{}
	}
	return &own
}

// Lacks reports whether no login is configured that a duty needs beside the application's.
func (v *TransitConfig) Lacks(d Duty) bool {
	return d == Destroying && v.Destroyer.Role == "" || d == Rotating && v.Rotator.Role == ""
}

// every stands for all rights over the rows of a table.
var every = pgdb.Rights{Insert: true, Delete: true, Update: []string{"*"}}

// keyRights are what the role of each duty may do in the key database beside reading. The
// role that serves never overwrites or removes a wrapped key of a citizen, of a stream or
// of the deployment. A table that is missing here is readable only.
var keyRights = map[string]map[Duty]pgdb.Rights{
	"subjects": {
		Serving:    {Insert: true, Update: []string{"state", "mac"}},
		Destroying: {Insert: true, Update: []string{"*"}},
		Rotating:   {Update: []string{"wrapped", "kek_version", "mac"}},
	},
	"subject_ssins": {
		Serving:    {Insert: true, Delete: true}, // a former number that is the latest again is put at the end
		Destroying: {Delete: true},
		Rotating:   {Insert: true, Delete: true, Update: macs}, // the pepper
	},
	"index_keys":      {Destroying: every, Rotating: {Update: macs}},
	"exposed_streams": {Destroying: every, Rotating: {Update: macs}},
	"citizen_refs":    {Serving: {Insert: true}, Destroying: {Delete: true}, Rotating: {Update: macs}},
	"stream_keys":     {Serving: {Insert: true}, Destroying: {Insert: true, Update: []string{"*"}}, Rotating: {Update: macs}},
	"suppressions": {
		Serving:    {Delete: true, Update: []string{"until", "basis", "mac"}}, // a release
		Destroying: {Insert: true, Update: []string{"*"}},
		Rotating:   {Update: []string{"echo", "mac"}},
	},
	"suppression_order": {Serving: every, Destroying: every, Rotating: every}, // a start makes it anew
	"destructions":      {Destroying: {Insert: true, Delete: true}, Rotating: {Update: macs}},
	"destruction_clock": {Serving: {Update: macs}, Destroying: {Update: []string{"seq", "mac"}}, Rotating: {Update: macs}},
	"deployment_keys":   {Serving: {Insert: true}, Destroying: {Insert: true}, Rotating: every},
	"rotations":         {Rotating: {Insert: true, Update: []string{"*"}}},
	"key_backups":       {Serving: {Insert: true}, Rotating: {Insert: true, Update: macs}},
	"attachments":       {Serving: every, Destroying: {Update: []string{"*"}, Delete: true}, Rotating: {Update: []string{"wrapped", "key_version", "mac"}}},
	"certificates":      {Destroying: mark},
	"checkpoint_last":   {Serving: mark},
	"checkpoints":       {Serving: mark},
	"cosignatures":      {Serving: every},
	"witnesses_seen":    {Serving: mark},
	"signing_keys":      {Serving: {Insert: true}, Destroying: {Insert: true}, Rotating: {Insert: true, Update: macs}},
	"imitations":        {Serving: {Update: []string{"n"}}},
	"ring_state":        {Serving: {Update: macs}, Destroying: {Update: macs}, Rotating: {Update: []string{"*"}}},
	"row_sums":          {Serving: mark, Destroying: mark, Rotating: mark},
	"restores":          {Destroying: {Insert: true, Delete: true}},
	"quota_days":        {Serving: every, Destroying: every, Rotating: every},
	"quota_people":      {Serving: every, Destroying: every, Rotating: every},
	"quota_minutes":     {Serving: every, Destroying: every, Rotating: every},
	"quota_places":      {Serving: every, Destroying: every, Rotating: every},
	"quota_amounts":     {Serving: every, Destroying: every, Rotating: every},
	"quota_sums":        {Serving: every, Destroying: every, Rotating: every},
	"page_sessions":     {Serving: every},
	"traffic_days":      {Serving: every, Destroying: every, Rotating: every},
	"traffic_months":    {Serving: every, Destroying: every, Rotating: every},
	"traffic_writes":    {Serving: every, Destroying: every, Rotating: every},
	"used_proofs":       {Serving: every, Destroying: every, Rotating: every},
	"jobs":              {Serving: every, Destroying: every, Rotating: every},
	"job_findings":      {Serving: every, Destroying: every, Rotating: every},
	"exports":           {Serving: every},
	"requests":          {Serving: every, Destroying: every, Rotating: every},
	"guard":             {Serving: mark, Destroying: mark, Rotating: mark},
	"log_end":           {Serving: mark, Destroying: mark, Rotating: mark},
	"losses":            {},                                                                                                                              // accepted by the owner
	"offline_acts":      {Serving: {Update: []string{"recorded"}}, Destroying: {Update: []string{"recorded"}}, Rotating: {Update: []string{"recorded"}}}, // noted by the owner
	"backups_made":      {Serving: {Insert: true}, Rotating: {Update: macs}},
	"schema_versions":   {},
}

// macs is the column that whoever opens a new key database fills where a row is there
// already, and the rotator in a database from before (docs/decisions/0015).
var macs = []string{"mac"}

var mark = pgdb.Rights{Insert: true, Update: []string{"*"}}

// rightsOf returns the rights of one duty by table.
func rightsOf(d Duty) map[string]pgdb.Rights {
	all := make(map[string]pgdb.Rights, len(keyRights))
	for table, of := range keyRights {
		all[table] = of[d]
	}
	return all
}
