package witness

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"coffre/eventstore/proof"
)

// ErrRequest: what was submitted is not the body that C2SP tlog-witness says.
var ErrRequest = errors.New("witness: this is no add-checkpoint request")

const (
	maxProof   = 63 // hashes of a consistency proof
	oldPrefix  = "old "
	maxRequest = proof.MaxCheckpoint + (maxProof+1)*64 // bytes
)

// Request is what a log submits to a witness: a signed checkpoint, and the proof that it begins
// with the Old leaves that the witness cosigned last.
type Request struct {
	Old        int64
	Proof      []proof.Hash
	Checkpoint []byte
}

// Encode returns the body of the request.
func (r Request) Encode() []byte {
	var b strings.Builder
	b.WriteString(oldPrefix + strconv.FormatInt(r.Old, 10) + "\n")
	for _, h := range r.Proof {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteString("\n")
	b.Write(r.Checkpoint)
	return []byte(b.String())
}

// ParseRequest reads what Encode wrote, and nothing else. The checkpoint is not judged.
func ParseRequest(body []byte) (r Request, err error) {
	head, note, ok := strings.Cut(string(body), "\n\n")
	if !ok || len(body) > maxRequest || note == "" {
		return r, ErrRequest
	}
	lines := strings.Split(head, "\n")
	old, ok := strings.CutPrefix(lines[0], oldPrefix)
	r.Old, err = strconv.ParseInt(old, 10, 64)
	if err != nil || !ok || r.Old < 0 || strconv.FormatInt(r.Old, 10) != old || len(lines)-1 > maxProof {
		return r, ErrRequest
	}
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(h) != len(proof.Hash{}) {
			return r, ErrRequest
		}
		r.Proof = append(r.Proof, proof.Hash(h))
	}
	r.Checkpoint = []byte(note)
	return r, nil
}

// head returns the size and root of the checkpoint, unverified.
func (r Request) head() (proof.Head, error) { return proof.PeekHead(r.Checkpoint) }
