package seal

import (
	"context"
	"time"

	"coffre/domain"
)

// The request key digests what is remembered for days: idempotent requests and their bodies,
// the people whom an organisation named, proofs that were used. It has versions. A new one is in
// force from a moment on by which every process has read it; what was digested under the former
// one is found under it for as long as it counts.

const (
	// requestKeyNotice lies between the making of a version and the moment from which it is in
	// force: two leases, so that every process knows it by then.
	requestKeyNotice = 2 * MaxLease
	// requestKeyLife is how long a former version is looked under: longer than anything that is
	// digested is remembered (seven days).
	requestKeyLife = 8 * 24 * time.Hour
	// requestVersionsKept is the number of versions that are left after a rotation.
	requestVersionsKept = 2
)

// ErrRequestKeyYoung refuses a rotation under which answers would be forgotten.
var ErrRequestKeyYoung = domain.NewError(domain.Conflict, "requestKeyYoung", "the request key was replaced less than eight days ago, and what was answered under the former one is still remembered: replace it again after that")

// MAC is an HMAC-SHA256 over parts, one after the other, under a key that it holds.
type MAC = func(parts ...[]byte) [32]byte

// requestKey returns the version of the request key that is in force at a moment.
func (r *Ring) requestKey(at time.Time) DeploymentKey {
	keys := *r.requests.Load()
	for _, k := range keys {
		if !k.inForceFrom().After(at) {
			return k
		}
	}
	return keys[len(keys)-1]
}

// inForceFrom is when a version of the request key comes into force. The first is from the
// beginning.
func (k DeploymentKey) inForceFrom() time.Time {
	if k.Version == 1 {
		return time.Time{}
	}
	return time.UnixMicro(k.created).Add(requestKeyNotice)
}

// RequestMAC is a MAC under the version of the request key that is in force.
func (r *Ring) RequestMAC(parts ...[]byte) [32]byte { return r.requestKey(r.cfg.Now()).MAC(parts...) }

// RequestMACAt is the MAC under the version of the request key that was in force at a moment, or
// under the oldest that is left.
func (r *Ring) RequestMACAt(at time.Time) MAC { return r.requestKey(at).MAC }

// OtherRequestMACs are those under the other versions of the request key by which something may
// be found that counts: the former one until it is forgotten, and one that comes into force soon.
func (r *Ring) OtherRequestMACs() (others []MAC) {
	keys := *r.requests.Load()
	if len(keys) == 1 {
		return nil
	}
	now := r.cfg.Now()
	mine := r.requestKey(now).Version
	for i, k := range keys {
		if k.Version != mine && (i == 0 || now.Before(keys[i-1].inForceFrom().Add(requestKeyLife))) {
			others = append(others, k.MAC)
		}
	}
	return others
}

// RotateRequests makes a new version of the request key, destroys the one before the former,
// and returns the new version. It is in force a minute later. It returns ErrRequestKeyYoung
// within eight days after the last rotation.
func (r *Rotator) RotateRequests(ctx context.Context) (int, error) {
	return r.rotateDeployment(ctx, RequestKey, requestVersionsKept, func() (int, error) {
		if err := r.ring.readRequests(ctx); err != nil {
			return 0, err
		}
		latest := (*r.ring.requests.Load())[0]
		if latest.Version > 1 && r.ring.cfg.Now().Before(latest.inForceFrom().Add(requestKeyLife)) {
			return 0, ErrRequestKeyYoung
		}
		return latest.Version, nil
	})
}

// readRequests reads the versions of the request key that this process does not know, and
// forgets those that are gone.
func (r *Ring) readRequests(ctx context.Context) error {
	r.requesting.Lock()
	defer r.requesting.Unlock()
	keys, err := r.readVersions(ctx, RequestKey, *r.requests.Load())
	if err == nil && keys != nil {
		r.requests.Store(&keys)
	}
	return err
}
