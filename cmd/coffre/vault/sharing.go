package vault

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/go-json-experiment/json"

	"coffre/handlers/edge/token"
)

// retentionSettings are stated together.
const retentionSettings = "COFFRE_BACKUP_DAYS, COFFRE_ARCHIVE_DAYS, COFFRE_SNAPSHOT_DAYS"

// shared returns what processes on the same keys must have alike, by the name of the setting or
// file that says it: whoever asks may be answered by any of them, and what only one does, another
// one takes over. What the log or the key ring tells of already is not among it: the identity
// provider, the key-encryption key, versions of keys, the registry.
func (a *assembly) shared() (map[string]string, error) {
	o := a.o
	all := map[string]string{
		"COFFRE_LIMITS":                  fmt.Sprint(o.Limits),
		"COFFRE_SUPPRESSION_REVIEW_DAYS": o.review().String(),
		retentionSettings:                "",
		"COFFRE_BLOBS":                   "",
	}
	if o.Retentions != nil {
		all[retentionSettings] = fmt.Sprint(*o.Retentions)
	}
	if o.Blobs != nil {
		all["COFFRE_BLOBS"] = strings.Join([]string{o.Blobs.Endpoint, o.Blobs.Bucket, o.Blobs.Prefix}, " ")
	}
	if !o.Duty.answers() {
		return all, nil
	}
	for name, value := range map[string]any{"COFFRE_EBOX_CONFIG": o.Ebox, "COFFRE_BROKERS_CONFIG": o.Brokers, "COFFRE_PRICES": o.Prices} {
		text, err := json.Marshal(value, json.Deterministic(true))
		if err != nil {
			return nil, fmt.Errorf("compare settings: %w", err)
		}
		all[name] = string(text)
	}
	all["COFFRE_WITNESS_POLICY"], all["COFFRE_BELGIF"] = "", fmt.Sprint(o.Belgif != nil)
	if o.Witnesses != nil {
		all["COFFRE_WITNESS_POLICY"] = fmt.Sprint(o.Witnesses.Policy)
	}
	all["COFFRE_PAGES_CLIENT"], all["COFFRE_WEBHOOK_URL"], all["COFFRE_PUBLIC_URL"], all["COFFRE_CHECKPOINTS"] = "", "", "", ""
	if o.Login != nil {
		all["COFFRE_PAGES_CLIENT"] = o.Login.ClientID
	}
	if o.Webhook != nil {
		all["COFFRE_WEBHOOK_URL"] = o.Webhook.URL
	}
	if o.Public != nil && o.OIDC != nil && !onLoopback(o.Public.Hostname()) { // there each process has an address of its own
		all["COFFRE_PUBLIC_URL"] = o.Public.String()
	}
	if !strings.HasPrefix(o.Checkpoints.At, inFile) { // a file is of the process
		all["COFFRE_CHECKPOINTS"] = o.Checkpoints.At
	}
	if o.Dev {
		key, err := token.OpenDevKey(a.dir.File(DevKeyFile))
		if err != nil {
			return nil, err
		}
		all[DevKeyFile] = key.ID()
	}
	return all, nil
}

// onLoopback reports whether a host is this machine.
func onLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// compareSettings tells the operator, by their names, of settings that another process running on
// the same keys has otherwise. It refuses nothing: while a setting is changed, process by process, they
// differ for a time.
func (a *assembly) compareSettings(ctx context.Context) error {
	if a.places.leases == nil {
		return nil
	}
	mine, err := a.shared()
	if err != nil {
		return err
	}
	others, err := a.places.leases.Say(ctx, mine)
	if err != nil {
		return fmt.Errorf("compare settings: %w", err)
	}
	if len(others) > 0 {
		a.o.Logger.WarnContext(ctx, "another process that runs on these keys was started with other settings, so that what happens depends on which of them is asked; give all the same, as they share it (docs/stores.md)",
			slog.Any("settings", others))
	}
	return nil
}
