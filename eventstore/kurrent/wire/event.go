package wire

import (
	"encoding/binary"
	"net"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"coffre/eventstore"
	"coffre/eventstore/kurrent/form"
)

// Keys of what the protocol calls an event's metadata, which clients rely on.
const (
	typeKey        = "type"
	contentTypeKey = "content-type"
	createdKey     = "created" // 100 ns since 1970, decimal; Go's client ends its process where it is not
)

// event is r as the protocol has it. Commit and prepare are r's position.
func event(r *eventstore.Record, textIDs bool) *streams.ReadResp {
	data, metadata := form.Encode(r)
	recorded := &streams.ReadResp_ReadEvent_RecordedEvent{
		Id:               structured(r.ID),
		StreamIdentifier: identifier(form.StreamName(r.Stream)),
		StreamRevision:   uint64(r.Revision),
		CommitPosition:   r.Position.Commit,
		PreparePosition:  r.Position.Prepare,
		Metadata: map[string]string{
			typeKey:        r.Type,
			contentTypeKey: form.ContentType,
			createdKey:     strconv.FormatInt(ticks(r.Time.UnixMicro()), 10),
		},
		CustomMetadata: metadata,
		Data:           data,
	}
	if textIDs {
		recorded.Id = &shared.UUID{Value: &shared.UUID_String_{String_: r.ID.String()}}
	}
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
		Event:    recorded,
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: r.Position.Commit},
	}}}
}

// ticks turns microseconds into ticks, as far as they fit 64 bits. The record's own
// time is in its metadata.
func ticks(micros int64) int64 { return min(max(micros, -1<<59), 1<<59) * 10 }

func identifier(name string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(name)}
}

func structured(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

func cutPort(authority string) (host string, port uint16, ok bool) {
	host, text, err := net.SplitHostPort(authority)
	if err != nil {
		return "", 0, false
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return host, uint16(n), err == nil
}
