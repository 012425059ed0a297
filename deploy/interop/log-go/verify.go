// Verify verifies a bundle, or the log of a vault that is served, with nothing but the public
// Go tools for transparency logs and docs/log-format.md:
//
//	verify BUNDLE|URL [--key KEYS] [--checkpoint FILE] [--token FILE]
//
// It is called like the verifier in Node beside it, and says the same: one JSON object.
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	clockSpread = time.Minute // between the clocks of a vault's processes
	ahead       = 1000        // events read behind the last leaf, should some stand too early
	proven      = 20          // leaves that a vault is asked a proof of
)

type finding struct {
	Kind string `json:"kind"`
	Leaf int64  `json:"leaf"` // -1: about no single one
	Says string `json:"says"`
}

type report struct {
	Origin     string    `json:"origin"`
	Size       int64     `json:"size"`
	Events     int64     `json:"events"`
	Whole      bool      `json:"whole"`
	Trusted    bool      `json:"trusted"`
	Findings   []finding `json:"findings"`
	Incomplete string    `json:"incomplete"`
}

// checkpoint is a checkpoint with its time.
type checkpoint struct {
	log.Checkpoint
	signed time.Time
}

func (c checkpoint) tree() tlog.Tree { return tlog.Tree{N: int64(c.Size), Hash: tlog.Hash(c.Hash)} }

// unverified reads a note that nobody has verified.
func unverified(signed []byte) (c checkpoint, err error) {
	text, _, ok := bytes.Cut(signed, []byte("\n\n"))
	if !ok {
		return c, errors.New("this is no checkpoint")
	}
	rest, err := c.Unmarshal(append(slices.Clone(text), '\n'))
	if err != nil {
		return c, err
	}
	return c.timed(rest)
}

func (c checkpoint) timed(extension []byte) (checkpoint, error) {
	var err error
	if c.signed, err = time.Parse("time 2006-01-02T15:04:05.000000Z\n", string(extension)); err != nil || len(c.Hash) != sha256.Size {
		return c, errors.New("this is no checkpoint of a vault")
	}
	return c, nil
}

// open verifies a note by the first of the keys that signed it.
func open(signed []byte, keys []ed25519.PublicKey) (checkpoint, error) {
	peek, err := unverified(signed)
	if err != nil {
		return peek, err
	}
	for _, k := range keys {
		text, err := note.NewEd25519VerifierKey(peek.Origin, k)
		if err != nil {
			return peek, err
		}
		v, err := note.NewVerifier(text)
		if err != nil {
			return peek, err
		}
		if c, extension, _, err := log.ParseCheckpoint(signed, peek.Origin, v); err == nil {
			return checkpoint{Checkpoint: *c}.timed(extension)
		}
	}
	return peek, errors.New("no key that counts has signed the checkpoint")
}

// event is an event as bundles have it.
type event struct {
	Leaf     int64
	ID       string
	Stream   string
	Revision int64
	Type     string
	Time     int64
	Meta     []byte
	Clear    []byte
	Sealed   []byte
	Damaged  bool
	Proof    []byte
}

func (e *event) name() string {
	return fmt.Sprintf("%s of %s, revision %d", e.Type, e.Stream, e.Revision)
}

// hash returns the hash of the event as a leaf, nil when no leaf can hold it.
func (e *event) hash() []byte {
	id, err := hex.DecodeString(strings.ReplaceAll(e.ID, "-", ""))
	if e.Damaged || err != nil || len(id) != 16 || len(e.Stream) > 0xffff || len(e.Type) > 0xffff {
		return nil
	}
	entry := append([]byte{1}, id...)
	entry = binary.BigEndian.AppendUint16(entry, uint16(len(e.Stream)))
	entry = append(entry, e.Stream...)
	entry = binary.BigEndian.AppendUint64(entry, uint64(e.Revision))
	entry = binary.BigEndian.AppendUint16(entry, uint16(len(e.Type)))
	entry = append(entry, e.Type...)
	entry = binary.BigEndian.AppendUint64(entry, uint64(e.Time))
	for _, part := range [][]byte{e.Meta, e.Clear, e.Sealed} {
		sum := sha256.Sum256(part)
		entry = append(entry, sum[:]...)
	}
	return rfc6962.DefaultHasher.HashLeaf(entry)
}

// met is what is kept of an event: its hash, and how to name it.
type met struct {
	hash []byte
	leaf int64
	name string
}

// kept is what whoever asks has from before.
type kept struct {
	keys []ed25519.PublicKey
	held [][]byte
}

// judge compares what a log shows with what was signed.
type judge struct {
	report
	said   checkpoint
	held   []checkpoint
	leaves [][]byte
	events []met
	latest int64 // microseconds
}

func newJudge(signed []byte, brought []ed25519.PublicKey, k kept) (*judge, error) {
	j := &judge{report: report{Findings: []finding{}, Trusted: len(k.keys) > 0}}
	keys := k.keys
	if !j.Trusted {
		keys = brought
	}
	var err error
	if j.said, err = unverified(signed); err != nil {
		return nil, err
	}
	if _, err := open(signed, keys); err != nil {
		j.add("signature", -1, "%v", err)
	}
	j.Origin, j.Size = j.said.Origin, int64(j.said.Size)
	now, accepted := life(j.Origin)
	for _, h := range k.held {
		c, err := open(h, keys)
		id, losses := life(c.Origin)
		switch {
		case bytes.Equal(h, signed):
		case err != nil:
			j.add("signature", -1, "what was kept: %v", err)
		case id != now || losses > accepted:
			j.add("forked", -1, "the checkpoint that was kept is of %s", c.Origin)
		case losses < accepted:
			j.add("cut", -1, "a loss was accepted since the checkpoint that was kept, of %s", c.Origin)
		case c.Size > j.said.Size:
			j.add("cut", j.Size, "the checkpoint that was kept has %d leaves", c.Size)
		case c.signed.After(j.said.signed):
			j.add("time", -1, "the checkpoint that was kept has no more leaves and was signed later")
		case c.Size > 0:
			j.held = append(j.held, c)
		}
	}
	return j, nil
}

// life splits an origin into the log's name and the number of losses.
func life(origin string) (name string, losses int) {
	name, _, _ = strings.Cut(strings.TrimPrefix(origin, "coffre/"), "/")
	_, _ = fmt.Sscanf(origin, "coffre/"+name+"/%d", &losses)
	return name, losses
}

func (j *judge) add(kind string, leaf int64, says string, args ...any) {
	j.Findings = append(j.Findings, finding{kind, leaf, fmt.Sprintf(says, args...)})
}

func (j *judge) event(e *event) {
	j.events = append(j.events, met{e.hash(), e.Leaf, e.name()})
	j.Events++
	if e.Leaf < j.Size {
		j.latest = max(j.latest, e.Time)
	}
}

func (j *judge) finish(growing bool) {
	if j.Whole && j.Incomplete == "" {
		j.compare(growing)
	}
	if time.UnixMicro(j.latest).After(j.said.signed.Add(clockSpread)) {
		j.add("time", -1, "the checkpoint covers an event that was recorded after it was signed")
	}
}

// begins reports whether the first leaves have the root of a checkpoint.
func begins(leaves [][]byte, c checkpoint) bool {
	if uint64(len(leaves)) < c.Size {
		return false
	}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, l := range leaves[:c.Size] {
		if l == nil || tree.Append(l, nil) != nil {
			return false
		}
	}
	root, err := tree.GetRootHash(nil)
	return err == nil && bytes.Equal(root, c.Hash)
}

func (j *judge) compare(growing bool) {
	before := len(j.Findings)
	j.walk(growing)
	var hashes [][]byte
	for _, e := range j.events {
		hashes = append(hashes, e.hash)
	}
	if growing {
		hashes = hashes[:min(len(hashes), int(j.Size))]
	}
	tree := begins(j.leaves, j.said)
	switch {
	case !tree && int64(len(hashes)) == j.Size && begins(hashes, j.said):
		for i := range j.Findings[before:] { // the events are what was signed
			j.Findings[before+i].Kind = "tile"
		}
	case int64(len(j.leaves)) < j.Size:
		j.add("cut", int64(len(j.leaves)), "the tree ends before the %d leaves that were signed", j.Size)
	case !tree:
		j.add("root", -1, "the leaves have another root than the one that was signed")
	}
	for _, c := range j.held {
		if !begins(j.leaves, c) && !begins(hashes, c) {
			j.add("forked", -1, "the first %d leaves have another root than the checkpoint that was kept", c.Size)
		}
	}
}

// walk goes along events and leaves and names each that is out of its place.
func (j *judge) walk(growing bool) {
	places, there, passed := make(map[string]int), make(map[int]bool), make(map[int]bool)
	for n, l := range j.leaves {
		places[string(l)] = n
	}
	for _, e := range j.events {
		if at, known := places[string(e.hash)]; known {
			there[at] = true
		}
	}
	i, n := 0, 0
	for i < len(j.events) && n < len(j.leaves) {
		e := j.events[i]
		at, known := places[string(e.hash)]
		switch {
		case known && at == n:
			passed[n] = true
			i, n = i+1, n+1
		case !known && there[n], known && passed[at]:
			j.add("inserted", int64(n), "before leaf %d stands %s, which was never recorded there", n, e.name)
			i++
		case !known:
			j.add("altered", int64(n), "leaf %d, %s, is not what was recorded there", n, e.name)
			i, n = i+1, n+1
		case !there[n]:
			j.add("dropped", int64(n), "leaf %d is gone; it stood before %s", n, e.name)
			n++
		default:
			if at > n {
				j.add("swapped", int64(n), "in the place of leaf %d stands leaf %d", n, at)
			}
			passed[at] = true
			i, n = i+1, n+1
		}
	}
	if n < len(j.leaves) {
		j.add("cut", int64(n), "leaves %d to %d are gone", n, len(j.leaves)-1)
	}
	for ; i < len(j.events) && !growing; i++ {
		j.add("inserted", int64(len(j.leaves)), "behind the last leaf stands %s", j.events[i].name)
	}
}

var errBundle = errors.New("this is no bundle")

func split(hashes []byte) ([][]byte, error) {
	if len(hashes)%sha256.Size != 0 {
		return nil, errors.New("hashes are 32 bytes long")
	}
	return slices.Collect(slices.Chunk(hashes, sha256.Size)), nil
}

func verifyBundle(r io.Reader, k kept) (*judge, error) {
	var j *judge
	var keys []ed25519.PublicKey
	var signed []byte
	var header struct {
		Format, Origin string
		Size           int64
		Whole          bool
	}
	lines := json.NewDecoder(bufio.NewReader(r))
	ended, first, last := false, true, int64(-1)
	for {
		var line struct {
			Bundle *json.RawMessage
			Key    *struct{ Public []byte }
			Note   string `json:"checkpoint"`
			Type   string `json:"eventType"`
			Leaves *struct {
				First  int
				Hashes []byte
			}
			Event *event
			End   *struct{ Events int64 }
		}
		if err := lines.Decode(&line); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		} else if err != nil || ended || first != (line.Bundle != nil) {
			return nil, errBundle
		}
		first = false
		if j == nil && (line.Leaves != nil || line.Event != nil || line.End != nil) {
			var err error
			if j, err = newJudge(signed, keys, k); err != nil {
				return nil, err
			}
			j.Whole = header.Whole
		}
		switch {
		case line.Bundle != nil:
			if json.Unmarshal(*line.Bundle, &header) != nil || header.Format != "coffre-audit-bundle/1" {
				return nil, errBundle
			}
		case line.Key != nil:
			keys = append(keys, line.Key.Public)
		case line.Note != "":
			signed = []byte(line.Note)
		case line.Leaves != nil:
			hashes, err := split(line.Leaves.Hashes)
			if err != nil || line.Leaves.First != len(j.leaves) {
				return nil, errBundle
			}
			j.leaves = append(j.leaves, hashes...)
		case line.Event != nil:
			e := line.Event
			if e.Leaf <= last || header.Whole && e.Leaf != last+1 {
				j.Incomplete = fmt.Sprintf("event %d is missing", last+1)
			}
			last = e.Leaf
			j.event(e)
			path, err := split(e.Proof)
			if !header.Whole && (err != nil || j.included(e.Leaf, e.hash(), path) != nil) {
				j.add("altered", e.Leaf, "leaf %d, %s, is not what was recorded there", e.Leaf, e.name())
			}
		case line.End != nil:
			if ended = true; line.End.Events != j.Events {
				j.Incomplete = fmt.Sprintf("there are %d events of %d", j.Events, line.End.Events)
			}
		}
	}
	if j == nil || j.Origin != header.Origin || j.Size != header.Size {
		return nil, errBundle
	}
	if !ended {
		j.Incomplete = "the last line is missing"
	}
	j.finish(false)
	return j, nil
}

// included checks a proof by both libraries, which must agree.
func (j *judge) included(leaf int64, hash []byte, path [][]byte) error {
	if hash == nil || leaf < 0 || leaf >= j.Size {
		return errors.New("no leaf of this tree")
	}
	err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(leaf), j.said.Size, hash, path, j.said.Hash)
	if other := tlog.CheckRecord(hashes(path), j.Size, j.said.tree().Hash, leaf, tlog.Hash(hash)); (err == nil) != (other == nil) {
		return fmt.Errorf("the libraries disagree: %v, %v", err, other)
	}
	return err
}

// consistent likewise.
func (j *judge) consistent(former checkpoint, path [][]byte) error {
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, former.Size, j.said.Size, path, former.Hash, j.said.Hash)
	if other := tlog.CheckTree(hashes(path), j.Size, j.said.tree().Hash, int64(former.Size), former.tree().Hash); (err == nil) != (other == nil) {
		return fmt.Errorf("the libraries disagree: %v, %v", err, other)
	}
	return err
}

func hashes(path [][]byte) (all []tlog.Hash) {
	for _, p := range path {
		if len(p) != sha256.Size {
			return nil
		}
		all = append(all, tlog.Hash(p))
	}
	return all
}

// served is a vault that is served; it gives tlog its tiles.
type served struct {
	url, token string
	tiles      map[tlog.Tile][]byte
}

func (s *served) get(path string) ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, s.url+"/vault/v1/"+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, answer.Status)
	}
	return body, err
}

func (s *served) getJSON(path string, into any) error {
	body, err := s.get(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

func (s *served) Height() int                     { return 8 }
func (s *served) SaveTiles([]tlog.Tile, [][]byte) {} // it keeps what it reads
func (s *served) ReadTiles(tiles []tlog.Tile) (all [][]byte, err error) {
	for _, t := range tiles {
		if s.tiles[t] == nil {
			// C2SP tlog-tiles has the paths of the checksum database without the height.
			if s.tiles[t], err = s.get("log/tile/" + strings.TrimPrefix(t.Path(), "tile/8/")); err != nil {
				return nil, err
			}
		}
		all = append(all, s.tiles[t])
	}
	return all, nil
}

// authentic lets tlog read every leaf out of the tiles, up to the root that was signed.
func (s *served) authentic(tree tlog.Tree) error {
	indexes := make([]int64, tree.N)
	for n := range indexes {
		indexes[n] = tlog.StoredHashIndex(0, int64(n))
	}
	_, err := tlog.TileHashReader(tree, s).ReadHashes(indexes)
	return err
}

// leaves returns the leaves as the tiles have them, authentic or not.
func (s *served) leaves(size int64) (all [][]byte, err error) {
	for n := int64(0); n*256 < size; n++ {
		width := min(256, size-n*256)
		tile, err := s.ReadTiles([]tlog.Tile{{H: 8, L: 0, N: n, W: int(width)}})
		if err != nil {
			return nil, err
		}
		hashes, err := split(tile[0])
		if err != nil || int64(len(hashes)) != width {
			return nil, errors.New("a tile has not the hashes that it should")
		}
		all = append(all, hashes...)
	}
	return all, nil
}

// events hands on the records from leaf 0 on, in pages.
func (s *served) events(until int64, each func(*event)) error {
	read := int64(0)
	for after := ""; read < until; {
		var page struct {
			Items []struct {
				EventID, Stream, Type string
				Revision              int64
				Form                  int
				RecordedAt            time.Time
				Metadata, Sealed      []byte
				Facts                 json.RawMessage
			}
			NextCursor string
		}
		if err := s.getJSON("events?pageSize=1000"+after, &page); err != nil {
			return err
		}
		for _, e := range page.Items {
			each(&event{
				Leaf: read, ID: e.EventID, Stream: e.Stream, Revision: e.Revision, Type: fmt.Sprintf("%s/%d", e.Type, e.Form),
				Time: e.RecordedAt.UnixMicro(), Meta: e.Metadata, Clear: e.Facts, Sealed: e.Sealed,
			})
			read++
		}
		if page.NextCursor == "" {
			break
		}
		after = "&after=" + page.NextCursor
	}
	return nil
}

func verifyURL(s *served, k kept) (*judge, error) {
	signed, err := s.get("log/checkpoint")
	if err != nil {
		return nil, err
	}
	public, err := s.get("signingKeys")
	if err != nil {
		return nil, err
	}
	keys, err := logKeys(public)
	if err != nil {
		return nil, err
	}
	j, err := newJudge(signed, keys, k)
	if err != nil {
		return nil, err
	}
	j.Whole = true
	if err := s.authentic(j.said.tree()); err != nil {
		j.add("tile", -1, "%v", err)
	}
	if j.leaves, err = s.leaves(j.Size); err != nil {
		return nil, err
	}
	if err := s.events(j.Size+ahead, j.event); err != nil {
		return nil, err
	}
	j.finish(true)
	var answer struct{ Hashes [][]byte }
	for n := int64(0); n < j.Size; n += (j.Size + proven - 1) / proven {
		if err := s.getJSON(fmt.Sprintf("log/proof/inclusion?leaf=%d&size=%d", n, j.Size), &answer); err != nil {
			return nil, err
		}
		if err := j.included(n, j.leaves[n], answer.Hashes); err != nil {
			j.add("proof", n, "leaf %d: %v", n, err)
		}
	}
	for _, c := range j.held {
		if c.Size == j.said.Size {
			continue
		}
		if err := s.getJSON(fmt.Sprintf("log/proof/consistency?former=%d&size=%d", c.Size, j.Size), &answer); err != nil {
			return nil, err
		}
		if err := j.consistent(c, answer.Hashes); err != nil {
			j.add("proof", -1, "%d leaves: %v", c.Size, err)
		}
	}
	return j, nil
}

// logKeys returns the keys of the log in an answer of GET /vault/v1/signingKeys.
func logKeys(answer []byte) (all []ed25519.PublicKey, err error) {
	var said struct {
		Keys []struct {
			Purpose   string
			PublicKey []byte
		}
	}
	err = json.Unmarshal(answer, &said)
	for _, k := range said.Keys {
		if k.Purpose == "log" {
			all = append(all, k.PublicKey)
		}
	}
	return all, err
}

// noteIn returns the signed note of a file that is one, or a bundle.
func noteIn(file []byte) []byte {
	var line struct{ Checkpoint string }
	for text := range bytes.Lines(file) {
		if text[0] != '{' {
			return file
		}
		if json.Unmarshal(text, &line) == nil && line.Checkpoint != "" {
			break
		}
	}
	return []byte(line.Checkpoint)
}

func run() (int, error) {
	var k kept
	var token []byte
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	read := func(use func([]byte) error) func(string) error {
		return func(name string) error {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return use(b)
		}
	}
	flags.Func("key", "`file` with the keys that you trust", read(func(b []byte) (err error) { k.keys, err = logKeys(b); return err }))
	flags.Func("checkpoint", "`file` with a checkpoint, or a bundle, that you kept", read(func(b []byte) error { k.held = append(k.held, noteIn(b)); return nil }))
	flags.Func("token", "`file` with an auditor's token", read(func(b []byte) error { token = bytes.TrimSpace(b); return nil }))
	if len(os.Args) < 2 {
		return 2, errors.New("verify BUNDLE|URL [--key KEYS] [--checkpoint FILE] [--token FILE]")
	}
	place := os.Args[1]
	if err := flags.Parse(os.Args[2:]); err != nil {
		return 2, err
	}
	var j *judge
	var err error
	if strings.HasPrefix(place, "http") {
		j, err = verifyURL(&served{url: place, token: string(token), tiles: make(map[tlog.Tile][]byte)}, k)
	} else {
		var f *os.File
		if f, err = os.Open(place); err != nil {
			return 2, err
		}
		defer f.Close()
		j, err = verifyBundle(f, k)
	}
	if err != nil {
		return 1, err
	}
	if err := json.NewEncoder(os.Stdout).Encode(j.report); err != nil {
		return 1, err
	}
	switch {
	case len(j.Findings) > 0:
		return 3, nil
	case j.Incomplete != "":
		return 4, nil
	}
	return 0, nil
}

func main() {
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}
