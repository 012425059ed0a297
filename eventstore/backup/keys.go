package backup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

const (
	maxRecipients = 32
	maxKeyFile    = 64 << 10
)

// ErrRecipient: a named recipient is none that age knows as age1...
var ErrRecipient = errors.New("backup: a recipient is age1... as age-keygen prints it")

// ErrExample: the recipient is the one of the contract's example, whose secret key nobody
// who reads it has: what was encrypted to it would open for nobody, or for a stranger.
var ErrExample = errors.New("backup: a recipient is the one of the example; name one of your own, as age-keygen prints it")

// exampleRecipient is the recipient that the contract shows.
const exampleRecipient = "age1am7276m2dhz9s2s8xe4v77aru3azm3mxu2c29zgr3jp9xqc30cjsc6uh7v"

// ErrMixed: one recipient in the former style would undo what the others promise.
var ErrMixed = errors.New("backup: recipients are all age1pq1... or none")

// ErrIdentity: a file is no list of age identities.
var ErrIdentity = errors.New("backup: an identity file holds AGE-SECRET-KEY-... lines as age-keygen writes them")

// ParseRecipients reads recipients, each age1... as age-keygen prints them. It
// returns ErrRecipient, without what was written, for anything else, ErrExample and ErrMixed.
func ParseRecipients(words []string) ([]age.Recipient, error) {
	if len(words) == 0 || len(words) > maxRecipients {
		return nil, ErrRecipient
	}
	var all []age.Recipient
	hybrids := 0
	for _, word := range words {
		if strings.EqualFold(word, exampleRecipient) {
			return nil, ErrExample
		}
		var one age.Recipient
		var err error
		if strings.HasPrefix(word, "age1pq1") { // not to be broken by a quantum computer, either
			one, err = age.ParseHybridRecipient(word)
			hybrids++
		} else {
			one, err = age.ParseX25519Recipient(word)
		}
		if err != nil {
			return nil, ErrRecipient
		}
		all = append(all, one)
	}
	if hybrids > 0 && hybrids < len(all) {
		return nil, ErrMixed
	}
	return all, nil
}

// ReadRecipients reads a recipients file of age: one a line, # before remarks.
func ReadRecipients(r io.Reader) (words []string, err error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxKeyFile))
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			words = append(words, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read recipients: %w", err)
	}
	_, err = ParseRecipients(words)
	return words, err
}

// ReadIdentities reads an identity file of age.
func ReadIdentities(r io.Reader) ([]age.Identity, error) {
	all, err := age.ParseIdentities(io.LimitReader(r, maxKeyFile))
	if err != nil {
		return nil, ErrIdentity // what age says may quote the file
	}
	return all, nil
}
