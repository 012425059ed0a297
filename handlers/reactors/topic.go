package reactors

import (
	"errors"
	"strings"

	"coffre/eventstore"
)

// topic is the parsed name of a topic.
type topic string

// errTopic refuses a name that is neither a category nor an event's name.
var errTopic = errors.New("reactors: a topic is a stream category or an event's name without its form")

// parseTopic tells the two kinds apart by the dot: categories have none, names of
// events have one ("document" and "document.revoked").
func parseTopic(name string) (topic, error) {
	if name == "" || strings.ContainsAny(name, "/ \x00") {
		return "", errTopic
	}
	if noun, fact, isEvent := strings.Cut(name, "."); isEvent {
		if noun == "" || fact == "" {
			return "", errTopic
		}
	} else if strings.Contains(name, "-") {
		return "", errTopic // a category ends at the first dash, so this would never match
	}
	return topic(name), nil
}

func (t topic) matches(r eventstore.Record) bool {
	if strings.Contains(string(t), ".") {
		return eventName(r.Type) == string(t)
	}
	return r.Stream.Category() == string(t)
}

// topics are followed together, in the order of the log.
type topics []topic

func parseTopics(names []string) (topics, error) {
	all := make(topics, 0, len(names))
	for _, name := range names {
		t, err := parseTopic(name)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func (all topics) match(r eventstore.Record) bool {
	for _, t := range all {
		if t.matches(r) {
			return true
		}
	}
	return false
}
