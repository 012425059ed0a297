package certificate

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"coffre/domain"
	"coffre/eventstore/proof"
	"coffre/handlers/contract"
)

// Errors of receipts of consents.
var (
	// ErrReceipt reports bytes that are not a receipt of a consent as a vault wrote it: a signed
	// receipt has one form, and one that was formatted anew is another file.
	ErrReceipt = errors.New("not a signed receipt of a consent, in the bytes that the vault wrote")
	// ErrReceiptContent reports a signed receipt that contradicts itself, or does not prove that
	// its consent is in the log.
	ErrReceiptContent = errors.New("the receipt contradicts itself, or its consent is not in the log")
)

// receiptKind is the first line of the note that a receipt is signed as.
const receiptKind = "coffre consent receipt v1\n"

// signatureMember is the member of a receipt that holds the signature over the others.
const signatureMember = "signature"

// Receipt is what a receipt of a consent states whose signature and proof hold.
type Receipt struct {
	Standard     contract.ReceiptFormat `json:"standard"`
	Consent      domain.ConsentID       `json:"consentId"`
	State        contract.ConsentState  `json:"state"` // of the consent, at StateAt
	StateAt      time.Time              `json:"stateAt"`
	Leaf         int64                  `json:"leaf"` // of the grant in the log
	Origin       string                 `json:"origin"`
	CheckpointAt time.Time              `json:"checkpointAt"` // the grant is in the log that was signed then
}

// SignReceipt returns a receipt, a JSON object that has inLog, with a member signature, in the
// form of RFC 8785: the only bytes that ReadReceipt takes. Signed are the other members in that
// form, behind a line that says what they are, as a signed note of the log.
func SignReceipt(ctx context.Context, receipt []byte, signer proof.Signer) ([]byte, error) {
	members, line, err := receiptMembers(receipt)
	if err != nil {
		return nil, err
	}
	r, _, err := receiptFacts(line)
	if err != nil {
		return nil, err
	}
	note, err := proof.SignText(ctx, receiptKind+string(line)+"\n", r.Origin, signer)
	if err != nil {
		return nil, fmt.Errorf("sign a receipt: %w", err)
	}
	lines := strings.Split(strings.TrimSuffix(string(note), "\n"), "\n")
	if members[signatureMember], err = json.Marshal(lines[len(lines)-1]); err != nil {
		return nil, fmt.Errorf("encode a receipt: %w", err)
	}
	return canonical(members)
}

// ReadReceipt verifies a receipt with public keys of the log that the reader trusts, never ones
// that came with it, and that the grant of its consent is in the log that its checkpoint is of.
// It needs neither a vault nor a network. Its errors are ErrReceipt, proof.ErrSignature and
// ErrReceiptContent.
func ReadReceipt(signed []byte, keys ...ed25519.PublicKey) (Receipt, error) {
	members, line, err := receiptMembers(signed)
	if err != nil {
		return Receipt{}, err
	}
	whole, err := canonical(members)
	var signature string
	if err != nil || !bytes.Equal(whole, signed) || json.Unmarshal(members[signatureMember], &signature) != nil || !oneSignature(signature) {
		return Receipt{}, ErrReceipt
	}
	r, in, err := receiptFacts(line)
	if err != nil {
		return Receipt{}, err
	}
	switch _, err := proof.OpenText([]byte(receiptKind+string(line)+"\n\n"+signature+"\n"), r.Origin, keys...); {
	case errors.Is(err, proof.ErrStatement):
		return Receipt{}, ErrReceipt
	case err != nil:
		return Receipt{}, err
	}
	c, err := proof.Open([]byte(in.Checkpoint), keys...)
	if err != nil {
		return Receipt{}, err
	}
	path := make([]proof.Hash, len(in.Hashes))
	for i, h := range in.Hashes {
		if len(h) != sha256.Size {
			return Receipt{}, ErrReceiptContent
		}
		path[i] = proof.Hash(h)
	}
	if len(in.LeafHash) != sha256.Size || c.Size != in.Size || proof.CheckInclusion(path, c.Size, c.Root, in.Leaf, proof.Hash(in.LeafHash)) != nil {
		return Receipt{}, ErrReceiptContent
	}
	return r, nil
}

// receiptMembers returns the members of a receipt, and the form of RFC 8785 of all but the
// signature.
func receiptMembers(receipt []byte) (members map[string]jsontext.Value, line []byte, err error) {
	if json.Unmarshal(receipt, &members) != nil || members == nil { // it refuses a name that stands twice
		return nil, nil, ErrReceipt
	}
	signature := members[signatureMember]
	delete(members, signatureMember)
	if line, err = canonical(members); err != nil {
		return nil, nil, ErrReceipt
	}
	members[signatureMember] = signature
	return members, line, nil
}

func canonical(members map[string]jsontext.Value) ([]byte, error) {
	b, err := json.Marshal(members)
	form := jsontext.Value(b)
	if err == nil {
		err = form.Canonicalize()
	}
	if err != nil {
		return nil, fmt.Errorf("encode a receipt: %w", err)
	}
	return form, nil
}

// oneSignature reports whether a text is one signature line of a note, in the only spelling of
// its bytes.
func oneSignature(line string) bool {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || strings.Contains(line, "\n") {
		return false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	return err == nil && base64.StdEncoding.EncodeToString(b) == parts[2]
}

// receiptFacts reads what a receipt of either standard says, without verifying any of it.
func receiptFacts(line []byte) (r Receipt, in contract.RecordInLog, err error) {
	var said struct {
		Kantara string                `json:"consentReceiptID"`
		ISO     string                `json:"dct:identifier"`
		State   contract.ConsentState `json:"state"`
		StateAt time.Time             `json:"stateAt"`
		InLog   contract.RecordInLog  `json:"inLog"`
	}
	if json.Unmarshal(line, &said) != nil {
		return r, in, ErrReceipt
	}
	r = Receipt{Standard: contract.ReceiptFormatKantara, State: said.State, StateAt: said.StateAt, Leaf: said.InLog.Leaf}
	id := said.Kantara
	if said.ISO != "" {
		r.Standard, id = contract.ReceiptFormatIso27560, said.ISO
	}
	c, peeked := proof.Peek([]byte(said.InLog.Checkpoint))
	if (said.Kantara == "") == (said.ISO == "") || r.Consent.UnmarshalText([]byte(id)) != nil || !r.State.Valid() || r.StateAt.IsZero() || peeked != nil {
		return r, in, ErrReceiptContent
	}
	r.Origin, r.CheckpointAt = c.Origin, c.Time
	return r, said.InLog, nil
}
