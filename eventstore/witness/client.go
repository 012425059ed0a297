package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"coffre/eventstore/proof"
)

// Answers of a witness that did not cosign, beside those of [Witness.Add].
var (
	// ErrAway: the witness does not answer.
	ErrAway = errors.New("witness: it does not answer")
	// ErrAnswer: the witness answers something else than the protocol says, or a line that its
	// key did not make.
	ErrAnswer = errors.New("witness: an answer of another kind than expected")
)

const maxAnswer = 64 << 10

// Client asks one witness. It may be used concurrently.
type Client struct {
	HTTP *http.Client   // follows no redirect
	Key  proof.NamedKey // of the witness: only its cosignature counts
	URL  string         // submission prefix, without / at its end
}

// Add asks for the cosignature of a checkpoint, and verifies it. Its errors are proof.ErrOrigin,
// proof.ErrSignature, ErrRequest, *SizeError, ErrForked, ErrInconsistent, ErrAway and ErrAnswer.
// They name neither the URL nor anything that the witness said.
func (c *Client) Add(ctx context.Context, r Request) (proof.Cosignature, error) {
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+Path, bytes.NewReader(r.Encode()))
	if err != nil {
		return proof.Cosignature{}, ErrAway
	}
	post.Header.Set("Content-Type", lineType)
	post.Header.Set("User-Agent", "coffre")
	answer, err := c.HTTP.Do(post)
	if err != nil {
		return proof.Cosignature{}, ErrAway
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return proof.Cosignature{}, ErrAway
	}
	if len(body) > maxAnswer {
		return proof.Cosignature{}, ErrAnswer
	}
	switch answer.StatusCode {
	case http.StatusOK:
		all, _, err := proof.Cosignatures(append(bytes.Clone(r.Checkpoint), body...), []proof.NamedKey{c.Key})
		if err != nil || len(all) != 1 {
			return proof.Cosignature{}, ErrAnswer
		}
		return all[0], nil
	case http.StatusConflict:
		return proof.Cosignature{}, c.conflict(r, answer.Header.Get("Content-Type"), string(body))
	case http.StatusNotFound:
		return proof.Cosignature{}, proof.ErrOrigin
	case http.StatusForbidden:
		return proof.Cosignature{}, proof.ErrSignature
	case http.StatusBadRequest:
		return proof.Cosignature{}, ErrRequest
	case http.StatusUnprocessableEntity:
		return proof.Cosignature{}, ErrInconsistent
	}
	if answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests {
		return proof.Cosignature{}, ErrAway
	}
	return proof.Cosignature{}, fmt.Errorf("%w: status %d", ErrAnswer, answer.StatusCode)
}

// conflict tells a size that is another than the one sent from a root that is.
func (c *Client) conflict(r Request, mediaType, body string) error {
	h, err := r.head()
	if err != nil {
		return err
	}
	if mediaType != sizeType {
		if r.Old == h.Size {
			return ErrForked
		}
		return ErrAnswer
	}
	text, ended := strings.CutSuffix(body, "\n")
	size, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || !ended || size < 0 || strconv.FormatInt(size, 10) != text:
		return ErrAnswer
	case size == r.Old && r.Old == h.Size: // the sizes agree, so the roots do not
		return ErrForked
	case size == r.Old:
		return ErrAnswer
	}
	return &SizeError{size}
}
