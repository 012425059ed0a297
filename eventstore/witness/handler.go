package witness

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"coffre/eventstore/proof"
)

// Path is where checkpoints are submitted, below the submission prefix.
const Path = "/add-checkpoint"

const (
	sizeType = "text/x.tlog.size"
	lineType = "text/plain; charset=utf-8"
)

// Handler answers POST /add-checkpoint, and nothing else.
func (w *Witness) Handler() http.Handler { return http.HandlerFunc(w.serve) }

func (w *Witness) serve(out http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != Path:
		refuse(out, http.StatusNotFound, "checkpoints are submitted by POST "+Path)
		return
	case r.Method != http.MethodPost:
		out.Header().Set("Allow", http.MethodPost)
		refuse(out, http.StatusMethodNotAllowed, "checkpoints are submitted by POST "+Path)
		return
	case r.URL.RawQuery != "" || r.URL.ForceQuery:
		refuse(out, http.StatusBadRequest, "there are no parameters")
		return
	case r.Header.Get("Content-Encoding") != "":
		refuse(out, http.StatusUnsupportedMediaType, "the body is sent as it is, without an encoding")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(out, r.Body, maxRequest))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		refuse(out, http.StatusRequestEntityTooLarge, "the body has at most "+strconv.Itoa(maxRequest)+" bytes")
		return
	case err != nil:
		refuse(out, http.StatusBadRequest, "the body was cut off")
		return
	}
	request, err := ParseRequest(body)
	if err != nil {
		refuse(out, http.StatusBadRequest, "the body is `old SIZE`, the lines of the proof, an empty line and the checkpoint")
		return
	}
	cosignature, err := w.Add(request)
	var other *SizeError
	switch {
	case err == nil:
		out.Header().Set("Content-Type", lineType)
		_, _ = io.WriteString(out, cosignature.Line) // a client that left asks again
	case errors.As(err, &other):
		out.Header().Set("Content-Type", sizeType)
		out.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(out, strconv.FormatInt(other.Size, 10)+"\n")
	case errors.Is(err, ErrForked):
		refuse(out, http.StatusConflict, "another checkpoint of that size was cosigned before: the log shows two histories")
	case errors.Is(err, proof.ErrCheckpoint):
		refuse(out, http.StatusBadRequest, "behind the empty line comes no signed checkpoint")
	case errors.Is(err, proof.ErrOrigin):
		refuse(out, http.StatusNotFound, "this witness knows no log of that origin")
	case errors.Is(err, proof.ErrSignature):
		refuse(out, http.StatusForbidden, "no key that this witness knows of that log has signed the checkpoint")
	case errors.Is(err, ErrRequest):
		refuse(out, http.StatusBadRequest, "the old size is larger than the checkpoint's")
	case errors.Is(err, ErrInconsistent):
		refuse(out, http.StatusUnprocessableEntity, "the proof does not show that the checkpoint begins with the one cosigned before")
	default:
		w.logger.Error("a checkpoint was not cosigned", "error", err)
		refuse(out, http.StatusInternalServerError, "the witness cannot keep its state; nothing was cosigned")
	}
}

func refuse(out http.ResponseWriter, status int, says string) {
	out.Header().Set("Content-Type", lineType)
	out.Header().Set("X-Content-Type-Options", "nosniff")
	out.WriteHeader(status)
	_, _ = io.WriteString(out, says+"\n") // nobody is left to tell
}
