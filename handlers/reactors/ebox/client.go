package ebox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"coffre/domain"
)

// Client speaks the part of eBox's REST API 2.1 and event API 1.1.1 that a sender needs. Its
// methods may be called concurrently. Make it with NewClient.
type Client struct {
	o ClientOptions

	mu     sync.Mutex
	tokens oauth2.TokenSource // nil: a new one is needed
}

// ClientOptions of a Client. API, Token, ClientID, SecretFile and HTTP are required.
type ClientOptions struct {
	API    *url.URL // base of the REST API, "https://…/ebox/citizen/v2"
	Events *url.URL // base of the event API; nil: nothing is read back
	Token  *url.URL // token endpoint
	// SecretFile holds the client's secret; it is read at each login, so that it may be replaced.
	ClientID, SecretFile string
	Scopes               []string
	Sender               Sender
	HTTP                 *http.Client // follows no redirect and reaches allowed addresses only
}

// Sender is who eBox says a message is from.
type Sender struct {
	Organisation domain.Organisation // "": the client's own
	Application  string              // likewise
	MessageType  string              // "": none
}

// maxAnswer bounds the answers that are read; a page of events is larger than a receipt.
const maxAnswer = 1 << 20

// NewClient returns a client. It calls nobody until it is used.
func NewClient(o ClientOptions) *Client { return &Client{o: o} }

// Answer is an answer of eBox that is no receipt, or none at all. It repeats nothing that eBox
// said.
type Answer struct {
	Reason     string // a class: "http400", "token", "unreachable", "timeout", "redirect", "unreadable"
	Final      bool   // the same message will be refused again
	RetryAfter time.Duration
}

func (a *Answer) Error() string { return "ebox: " + a.Reason }

// Receipt is that eBox has a message.
type Receipt struct {
	MessageID     string    // "" where a repetition was answered without
	Expires       time.Time // zero: not told
	NoDigitalUser bool
}

// The members of messageToPublish and of answers, as the API's document has them. A text stands
// in one language: what is not given is absent, never null.
type (
	messageToPublish struct {
		Recipient            eboxID                  `json:"recipient"`
		Subject              map[string]string       `json:"subject"`
		MessageTypeID        string                  `json:"messageTypeId,omitempty"`
		SenderOrganizationID domain.Organisation     `json:"senderOrganizationId,omitempty"`
		SenderApplicationID  string                  `json:"senderApplicationId,omitempty"`
		Attachments          []attachmentToPublish   `json:"attachments,omitempty"`
		BodyMainContent      bool                    `json:"bodyMainContent"`
		BodyContent          map[string]string       `json:"bodyContent"`
		BusinessDataList     []businessDataToPublish `json:"businessDataList"`
		ReplyAuthorized      bool                    `json:"replyAuthorized"`
	}
	eboxID struct {
		Type  string `json:"eboxType"`
		Value string `json:"eboxIdValue"`
	}
	attachmentToPublish struct {
		Title        map[string]string `json:"attachmentTitle"`
		HTTPPartName string            `json:"httpPartName"`
		MainContent  bool              `json:"mainContent"`
		Digest       digest            `json:"digest"`
	}
	digest struct {
		Method string `json:"digestMethod"`
		Value  string `json:"digestValue"`
	}
	businessDataToPublish struct {
		Key    string              `json:"key"`
		Values []map[string]string `json:"values"`
	}
	publicationStatusMessage struct {
		MessageID      string    `json:"messageId"`
		ExpirationDate time.Time `json:"expirationDate"`
		Code           string    `json:"code"`
	}
)

// noDigitalUser is eBox's code for a citizen who does not read digitally.
const noDigitalUser = "NO_DIGITAL_USER"

// listFile is the name of the file with every line of a message; eBox allows 80 characters.
const listFile = "coffre.txt"

// Publish publishes a message under a key that is the same at every try. That eBox had it
// already is a success. Its error is an *Answer.
func (c *Client) Publish(ctx context.Context, key uuid.UUID, to domain.SSIN, l Letter) (Receipt, error) {
	body, contentType, err := c.encode(key, to, l)
	if err != nil {
		return Receipt{}, &Answer{Reason: "unsendable", Final: true}
	}
	response, err := c.call(ctx, func(ctx context.Context) (*http.Request, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.o.API.JoinPath("publishMessage").String(), bytes.NewReader(body))
		if err == nil {
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("Idempotency-Key", key.String())
		}
		return r, err
	})
	if err != nil {
		return Receipt{}, err
	}
	var told publicationStatusMessage
	unreadable := json.Unmarshal(response.body, &told)
	switch {
	case told.Code == noDigitalUser && (response.status == http.StatusCreated || response.status == http.StatusBadRequest):
		return Receipt{MessageID: told.MessageID, Expires: told.ExpirationDate, NoDigitalUser: true}, nil
	case response.status == http.StatusCreated && unreadable != nil:
		return Receipt{}, &Answer{Reason: "unreadable"} // the next try meets what eBox has
	case response.status == http.StatusCreated, response.status == http.StatusConflict:
		return Receipt{MessageID: told.MessageID, Expires: told.ExpirationDate}, nil
	}
	return Receipt{}, response.answer()
}

// encode returns the parts of a publication.
func (c *Client) encode(key uuid.UUID, to domain.SSIN, l Letter) (body []byte, contentType string, err error) {
	in := func(text string) map[string]string { return map[string]string{string(l.Language): text} }
	m := messageToPublish{
		Recipient: eboxID{"citizen", to.Reveal()}, Subject: in(l.Subject), BodyMainContent: true, BodyContent: in(l.Body),
		MessageTypeID: c.o.Sender.MessageType, SenderOrganizationID: c.o.Sender.Organisation, SenderApplicationID: c.o.Sender.Application,
		BusinessDataList: []businessDataToPublish{{Key: "messageReference", Values: []map[string]string{in(key.String())}}},
	}
	const part = "upfile1"
	if l.List != "" {
		sum := sha256.Sum256([]byte(l.List))
		m.Attachments = []attachmentToPublish{{Title: in(l.Title), HTTPPartName: part, Digest: digest{"sha_256", base64.URLEncoding.EncodeToString(sum[:])}}}
	}
	described, err := json.Marshal(m)
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	err = w.WriteField("messageToPublish", string(described))
	if err == nil && l.List != "" {
		var file io.Writer
		file, err = w.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {mime.FormatMediaType("form-data", map[string]string{"name": part, "filename": listFile})},
			"Content-Type":        {"text/plain; charset=utf-8"},
		})
		if err == nil {
			_, err = io.WriteString(file, l.List)
		}
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, "", err
	}
	return b.Bytes(), w.FormDataContentType(), nil
}

// answered is what eBox said to one call.
type answered struct {
	status     int
	retryAfter time.Duration
	body       []byte
}

// answer returns what a status means that is no success.
func (a answered) answer() error {
	said := &Answer{Reason: "http" + strconv.Itoa(a.status), RetryAfter: a.retryAfter}
	switch {
	case a.status >= 300 && a.status < 400:
		said.Reason = "redirect"
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden, a.status == http.StatusNotFound, // the operator's to mend
		a.status == http.StatusRequestTimeout, a.status == http.StatusTooEarly, a.status == http.StatusTooManyRequests:
	case a.status >= 400 && a.status < 500:
		said.Final = true
	}
	return said
}

// call makes a call with a token, once more with a new one where eBox takes the token for none.
func (c *Client) call(ctx context.Context, make func(context.Context) (*http.Request, error)) (answered, error) {
	for again := false; ; again = true {
		token, err := c.token(ctx)
		if err != nil {
			return answered{}, err
		}
		r, err := make(ctx)
		if err != nil {
			return answered{}, &Answer{Reason: "unsendable", Final: true}
		}
		token.SetAuthHeader(r)
		r.Header.Set("Accept", "application/json")
		a, err := c.do(r)
		if err == nil && a.status == http.StatusUnauthorized && !again {
			c.forgetToken()
			continue
		}
		return a, err
	}
}

func (c *Client) do(r *http.Request) (answered, error) {
	response, err := c.o.HTTP.Do(r)
	if err != nil {
		return answered{}, unreachable(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answered{}, unreachable(err)
	case len(body) > maxAnswer:
		return answered{}, &Answer{Reason: "tooLarge"}
	}
	a := answered{status: response.StatusCode, body: body}
	if after := response.Header.Get("Retry-After"); after != "" {
		if seconds, err := strconv.Atoi(after); err == nil && seconds > 0 {
			a.retryAfter = time.Duration(min(seconds, 24*60*60)) * time.Second
		} else if at, err := http.ParseTime(after); err == nil {
			a.retryAfter = max(time.Until(at), 0)
		}
	}
	return a, nil
}

// unreachable returns what a failed call is, without its text, which holds addresses.
func unreachable(err error) error {
	var net interface{ Timeout() bool }
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &net) && net.Timeout() {
		return &Answer{Reason: "timeout"}
	}
	return &Answer{Reason: "unreachable"}
}

// token returns a token that counts, by the client credentials of RFC 6749, section 4.4.
func (c *Client) token(ctx context.Context) (*oauth2.Token, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tokens == nil {
		secret, err := ReadSecret(c.o.SecretFile)
		if err != nil {
			return nil, &Answer{Reason: "clientSecret"}
		}
		login := clientcredentials.Config{
			ClientID: c.o.ClientID, ClientSecret: secret, TokenURL: c.o.Token.String(), Scopes: c.o.Scopes, AuthStyle: oauth2.AuthStyleInHeader,
		}
		// The token outlives the call that asked for it.
		lasting := context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, c.o.HTTP)
		c.tokens = oauth2.ReuseTokenSource(nil, login.TokenSource(lasting))
	}
	token, err := c.tokens.Token()
	if err != nil {
		c.tokens = nil                       // the secret may be replaced
		return nil, &Answer{Reason: "token"} // what the provider said may hold anything
	}
	return token, nil
}

func (c *Client) forgetToken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens = nil
}

// maxSecret bounds a file that holds a client secret.
const maxSecret = 4096

// ReadSecret returns the client secret that a file holds, without the ends of its line. Its
// error does not quote it.
func ReadSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("client secret: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("client secret: %w", err)
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" || len(b) > maxSecret || strings.ContainsAny(secret, "\r\n\x00") {
		return "", errors.New("client secret: the file holds none, on one line")
	}
	return secret, nil
}
