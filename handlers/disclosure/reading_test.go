package disclosure

import (
	"strings"
	"testing"

	"coffre/domain"
)

func TestOnlyFields(t *testing.T) {
	for _, test := range []struct{ content, want string }{
		{`{"a":1,"b":{"a":[1,"}"]},"c":"\u003c"}`, `{"b":{"a":[1,"}"]}}`},
		{`{}`, `{}`},
		{`{"b":"b\"","c":2}`, `{"b":"b\""}`},
	} {
		got, err := onlyFields(domain.JSON(test.content), []domain.Field{"b"})
		if err != nil || string(got) != test.want {
			t.Errorf("A-2 %s: %s, %v", test.content, got, err)
		}
	}
	for _, broken := range []string{``, `[]`, `{`, `{"a"`, `{"a":`, `{"a":1`} {
		if got, err := onlyFields(domain.JSON(broken), []domain.Field{"a"}); err == nil {
			t.Errorf("%q gave %s", broken, got)
		} else if broken != "" && strings.Contains(err.Error(), broken) {
			t.Errorf("the error quotes the content: %v", err)
		}
	}
}
