package transit

import "time"

// SetTimeout changes how long k's calls may take from now on.
func SetTimeout(k *Keeper, d time.Duration) {
	for _, c := range k.clients() {
		c.timeout.Store(int64(d))
	}
}
