package wire

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"net/netip"

	"coffre/eventstore"
)

// version is the server that clients take this one for: three numbers, or they do
// not connect at all. From 25.1 on some would use calls that are not here.
const version = "23.10.0"

// Trailers by which the official clients tell errors apart.
const (
	exceptionKey    = "exception"
	accessDenied    = "access-denied"
	tooLargeKey     = "maximum-append-size-exceeded"
	tooLargeSizeKey = "maximum-append-size"
	missingProperty = "missing-required-metadata-property"
)

// open are the calls that clients make before they show who they are. They tell
// nothing that the protocol does not.
var open = map[string]bool{
	serverfeatures.ServerFeatures_GetSupportedMethods_FullMethodName: true,
	gossip.Gossip_Read_FullMethodName:                                true,
}

func (s *Server) admitCall(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if err := s.admit(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

func (s *Server) admitStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if err := s.admit(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return handle(srv, stream)
}

// admit lets a call pass that needs no password or shows a good one. While an address has
// sent too many wrong ones, none of it is looked at.
func (s *Server) admit(ctx context.Context, method string) error {
	if open[method] {
		return nil
	}
	from := ""
	if p, ok := peer.FromContext(ctx); ok {
		from = p.Addr.String()
	}
	if s.o.Allow == nil {
		s.door.letIn(from)
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	shown := len(md.Get("authorization")) > 0
	refusal := status.Error(codes.Unauthenticated, "a name and password are needed here")
	if shown && !s.door.mayTry(from) {
		refusal = status.Error(codes.ResourceExhausted, "too many wrong passwords came from this address; try again in some minutes")
	} else if _, known := s.caller(ctx); known {
		s.door.letIn(from)
		return nil
	} else if shown {
		s.door.wasWrong(from)
	}
	if s.o.Refused != nil {
		s.o.Refused()
	}
	return refusal
}

// caller returns the name of a call's caller who shows a good password.
func (s *Server) caller(ctx context.Context) (name string, known bool) {
	md, ok := metadata.FromIncomingContext(ctx)
	if !ok || s.o.Allow == nil {
		return "", false
	}
	for _, value := range md.Get("authorization") {
		scheme, encoded, _ := strings.Cut(value, " ")
		if !strings.EqualFold(scheme, "basic") {
			continue
		}
		plain, err := base64.StdEncoding.DecodeString(encoded)
		if name, password, ok := strings.Cut(string(plain), ":"); err == nil && ok && s.o.Allow(name, password) {
			return name, true
		}
	}
	return "", false
}

// refuse answers with a status and the trailers that make it a typed error.
func refuse(stream grpc.ServerStream, code codes.Code, text string, trailers ...string) error {
	stream.SetTrailer(metadata.Pairs(trailers...))
	return status.Error(code, text)
}

// failure is how an error of the store is told to clients. Codes by which Node's
// clients would drop their connection are for errors that a new one may mend.
func (s *Server) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	if s.life.Err() != nil {
		return status.Error(codes.Unavailable, "the server is stopping")
	}
	code, text := codes.Unknown, "the store failed"
	var corrupt *eventstore.Corrupt
	switch {
	case errors.As(err, &corrupt):
		text = "a damaged record"
	case errors.Is(err, eventstore.ErrOverloaded), errors.Is(err, eventstore.ErrDiskFull):
		code, text = codes.ResourceExhausted, "the store takes no more now"
	case errors.Is(err, eventstore.ErrTooLarge):
		code, text = codes.InvalidArgument, "a record or batch is too large"
	case errors.Is(err, eventstore.ErrInvalid):
		code, text = codes.InvalidArgument, "a record breaks the store's rules"
	case errors.Is(err, eventstore.ErrFailed):
		code, text = codes.FailedPrecondition, "the store's medium failed"
	case errors.Is(err, eventstore.ErrOutcomeUnknown):
		code, text = codes.Aborted, "it is not known whether it happened"
	case errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, eventstore.ErrClosed):
		code, text = codes.Unavailable, "the store is away"
	}
	s.o.Logger.WarnContext(ctx, "a call of the KurrentDB protocol failed", "code", code.String(), "error", err.Error())
	return status.Error(code, text)
}

// GetSupportedMethods tells clients what they may use.
func (s *Server) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	const service = "event_store.client.streams.streams"
	return &serverfeatures.SupportedMethods{
		EventStoreServerVersion: version,
		Methods: []*serverfeatures.SupportedMethod{
			{ServiceName: service, MethodName: "read", Features: []string{"position", "events"}},
			{ServiceName: service, MethodName: "append"},
			{ServiceName: service, MethodName: "delete"},
			{ServiceName: service, MethodName: "tombstone"},
		},
	}, nil
}

// member answers who is in the cluster: this server alone, where the client found it.
type member struct {
	gossip.UnimplementedGossipServer
	id uuid.UUID
}

// Read implements gossip.GossipServer.
func (m member) Read(ctx context.Context, _ *shared.Empty) (*gossip.ClusterInfo, error) {
	host, port := "127.0.0.1", uint16(0)
	if p, ok := peer.FromContext(ctx); ok && p.LocalAddr != nil {
		if ap, err := netip.ParseAddrPort(p.LocalAddr.String()); err == nil {
			host, port = ap.Addr().Unmap().String(), ap.Port()
		}
	}
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		for _, authority := range md.Get(":authority") { // as the client calls it: its certificate is for that name
			if h, p, ok := cutPort(authority); ok {
				host, port = h, p
			}
		}
	}
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId:   structured(m.id),
		State:        gossip.MemberInfo_Leader,
		IsAlive:      true,
		HttpEndPoint: &gossip.EndPoint{Address: host, Port: uint32(port)},
	}}}, nil
}
