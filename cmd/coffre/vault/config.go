package vault

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"coffre/domain/citizen"
	"coffre/eventstore/seal/transit"
	"coffre/handlers/acting"
)

// Config is the configuration that the environment holds. No secret is among it: secrets lie in files.
type Config struct {
	Transit *TransitConfig // nil: keys lie in a file beside the data
	Blobs   *BlobsConfig   // nil: files of documents lie in a folder beside the data
	Stores  StoresConfig

	Checkpoints CheckpointsConfig

	// For how many whole days copies are kept, which a final certificate of erasure names
	// (rule E-3): COFFRE_BACKUP_DAYS of the key ring, COFFRE_ARCHIVE_DAYS of its write-ahead
	// log, COFFRE_SNAPSHOT_DAYS of Vault; 0 where none are made. All three or none; none
	// stated: no certificate is ever final.
	Retentions *citizen.Retentions
	// SuppressionReview is how long an erasure is remembered before it is due for a review, if
	// nothing ends it: COFFRE_SUPPRESSION_REVIEW_DAYS, from 1 to 36,525 days, default 1,826.
	SuppressionReview time.Duration

	// COFFRE_LIMITS: bounds of budgets that differ from their defaults, such as
	// "uploads.caller=2000,calls.citizen=600"; docs/limits.md lists the names. All processes
	// on one key database have the same.
	Limits acting.Limits
}

// TransitConfig says where HashiCorp's Vault is, whose Transit engine keeps the keys, and
// which identities log in there; deploy/vault/README.md explains each variable.
type TransitConfig struct {
	Address    string // COFFRE_VAULT_ADDR: https://host:port, or http on loopback; unset: no Vault
	Namespace  string // COFFRE_VAULT_NAMESPACE: of Vault Enterprise; default none
	Mount      string // COFFRE_VAULT_MOUNT: of the Transit engine; default coffre
	CAFile     string // COFFRE_VAULT_CA_FILE: PEM certificates to trust; default the system's
	ServerName string // COFFRE_VAULT_SERVER_NAME: in Vault's certificate; default the address's host
	Auth       string // COFFRE_VAULT_AUTH: approle or kubernetes; default approle
	AuthMount  string // COFFRE_VAULT_AUTH_MOUNT: of the auth method; default its name

	// COFFRE_VAULT_TIMEOUT: of one call, such as 500ms; default 900ms, so that whoever
	// needs a key is answered within a second
	Timeout time.Duration

	Application TransitLogin // COFFRE_VAULT_ROLE …; required
	Rotator     TransitLogin // COFFRE_VAULT_ROTATOR_ROLE …; unset: POST /keys/rotate answers 503
	Destroyer   TransitLogin // COFFRE_VAULT_DESTROYER_ROLE …; unset: approving an erasure answers 503

	shared bool // others have the logins that are missing here
}

// TransitLogin is an identity that logs in at Vault.
type TransitLogin struct {
	Role         string // …_ROLE: an AppRole's role id, or the name of a Kubernetes role
	SecretIDFile string // …_SECRET_ID_FILE: file with the AppRole's secret id
	TokenFile    string // …_TOKEN_FILE: file with the service account's token; default Kubernetes' own
}

// FromEnv reads the configuration and reports all that is wrong with it.
func FromEnv(lookup func(string) string) (Config, error) {
	var c Config
	vault, err := transitFromEnv(lookup)
	if err == nil && vault.Address != "" {
		c.Transit = &vault
	}
	var wrong, wrongBlobs, wrongStores, wrongLimits error
	if c.Limits, wrongLimits = acting.ParseLimits(lookup("COFFRE_LIMITS")); wrongLimits != nil {
		wrongLimits = fmt.Errorf("COFFRE_LIMITS: %w", wrongLimits)
	}
	c.Retentions, wrong = retentionsFromEnv(lookup)
	c.Blobs, wrongBlobs = blobsFromEnv(lookup)
	c.Stores, wrongStores = StoresFromEnv(lookup, [3]string{StoreVariable, ReadModelsVariable, KeysVariable})
	var wrongCheckpoints, wrongReview error
	c.SuppressionReview, wrongReview = reviewFromEnv(lookup)
	c.Checkpoints, wrongCheckpoints = ReadCheckpoints(lookup(CheckpointsVariable), lookup(CheckpointEveryVariable), lookup(CheckpointEventsVariable))
	return c, errors.Join(err, wrong, wrongBlobs, wrongStores, wrongLimits, wrongCheckpoints, wrongReview)
}

// defaultReviewDays is five years, and a day for a leap year.
const defaultReviewDays, maxReviewDays = 1826, 36525

func reviewFromEnv(lookup func(string) string) (time.Duration, error) {
	n := defaultReviewDays
	if text := lookup("COFFRE_SUPPRESSION_REVIEW_DAYS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > maxReviewDays {
			return 0, fmt.Errorf("COFFRE_SUPPRESSION_REVIEW_DAYS is a number of days, from 1 to %d", maxReviewDays)
		}
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

func retentionsFromEnv(lookup func(string) string) (*citizen.Retentions, error) {
	var r citizen.Retentions
	var wrong []error
	stated, missing := 0, []error(nil)
	for _, one := range []struct {
		name string
		to   *int
	}{{"COFFRE_BACKUP_DAYS", &r.Backups}, {"COFFRE_ARCHIVE_DAYS", &r.Archives}, {"COFFRE_SNAPSHOT_DAYS", &r.Snapshots}} {
		text := lookup(one.name)
		if text == "" {
			missing = append(missing, fmt.Errorf("%s is not set: all retentions are stated, or none", one.name))
			continue
		}
		stated++
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > citizen.MaxRetention {
			wrong = append(wrong, fmt.Errorf("%s is a number of days, from 0 to %d", one.name, citizen.MaxRetention))
		}
		*one.to = n
	}
	if stated > 0 {
		wrong = append(wrong, missing...)
	}
	if stated == 0 || len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return &r, nil
}

// Variables that only count with COFFRE_VAULT_ADDR.
var transitVariables = []string{
	"NAMESPACE", "MOUNT", "CA_FILE", "SERVER_NAME", "AUTH", "AUTH_MOUNT", "TIMEOUT",
	"ROLE", "SECRET_ID_FILE", "TOKEN_FILE", "ROTATOR_ROLE", "ROTATOR_SECRET_ID_FILE", "ROTATOR_TOKEN_FILE",
	"DESTROYER_ROLE", "DESTROYER_SECRET_ID_FILE", "DESTROYER_TOKEN_FILE",
}

func transitFromEnv(lookup func(string) string) (TransitConfig, error) {
	get := func(name string) string { return lookup("COFFRE_VAULT_" + name) }
	v := TransitConfig{
		Address: get("ADDR"), Namespace: get("NAMESPACE"), Mount: get("MOUNT"), CAFile: get("CA_FILE"), ServerName: get("SERVER_NAME"),
		Auth: get("AUTH"), AuthMount: get("AUTH_MOUNT"),
	}
	if v.Address == "" {
		for _, name := range transitVariables {
			if get(name) != "" {
				return TransitConfig{}, fmt.Errorf("COFFRE_VAULT_%s is set, and COFFRE_VAULT_ADDR is not: keys would lie in a file", name)
			}
		}
		return TransitConfig{}, nil
	}
	if v.Auth == "" {
		v.Auth = "approle"
	}
	var wrong []error
	if v.Auth != "approle" && v.Auth != "kubernetes" {
		wrong = append(wrong, errors.New("COFFRE_VAULT_AUTH is approle or kubernetes"))
	}
	if text := get("TIMEOUT"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			wrong = append(wrong, errors.New("COFFRE_VAULT_TIMEOUT is a duration such as 900ms"))
		}
		v.Timeout = d
	}
	for _, one := range []struct {
		prefix   string
		to       *TransitLogin
		required bool
	}{{"", &v.Application, true}, {"ROTATOR_", &v.Rotator, false}, {"DESTROYER_", &v.Destroyer, false}} {
		id := TransitLogin{Role: get(one.prefix + "ROLE"), SecretIDFile: get(one.prefix + "SECRET_ID_FILE"), TokenFile: get(one.prefix + "TOKEN_FILE")}
		*one.to = id
		name := "COFFRE_VAULT_" + one.prefix
		switch {
		case id == TransitLogin{} && !one.required:
		case id.Role == "":
			wrong = append(wrong, fmt.Errorf("%sROLE is not set", name))
		case v.Auth == "approle" && id.SecretIDFile == "":
			wrong = append(wrong, fmt.Errorf("%sSECRET_ID_FILE is not set: the file with the secret id", name))
		case v.Auth == "approle" && id.TokenFile != "", v.Auth == "kubernetes" && id.SecretIDFile != "":
			wrong = append(wrong, fmt.Errorf("%sSECRET_ID_FILE is for approle and %[1]sTOKEN_FILE for kubernetes", name))
		}
	}
	return v, errors.Join(wrong...)
}

// Adapter returns the configuration of the adapter to Vault.
func (v TransitConfig) Adapter() transit.Config {
	return transit.Config{
		Address: v.Address, Namespace: v.Namespace, Mount: v.Mount, CAFile: v.CAFile, ServerName: v.ServerName,
		Application: v.login(v.Application), Rotator: v.login(v.Rotator), Destroyer: v.login(v.Destroyer),
		Timeout: v.Timeout,
	}
}

// login returns nil for an identity that is not configured.
func (v TransitConfig) login(id TransitLogin) transit.Login {
	switch {
	case id.Role == "":
		return nil
	case v.Auth == "kubernetes":
		return transit.Kubernetes{Mount: v.AuthMount, Role: id.Role, TokenFile: id.TokenFile}
	}
	return transit.AppRole{Mount: v.AuthMount, RoleID: id.Role, SecretIDFile: id.SecretIDFile}
}
