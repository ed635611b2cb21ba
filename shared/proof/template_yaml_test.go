package proof

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// stack is template.yaml as CloudFormation reads it with the parameters that are given; the others have their defaults.
// Its nodes keep their lines, so that a fault can say where it is.
type stack struct {
	resources  map[string]*yaml.Node // by logical id
	globals    *yaml.Node            // of functions
	parameters map[string]string
	declared   map[string]*yaml.Node // the parameters
	conditions map[string]*yaml.Node
}

func readStack(text string, given map[string]string) (*stack, error) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return nil, err
	}
	if len(document.Content) != 1 {
		return nil, fmt.Errorf("it is empty")
	}
	root := document.Content[0]
	s := &stack{
		resources: members(child(root, "Resources")), conditions: members(child(root, "Conditions")),
		declared: members(child(root, "Parameters")),
		globals:  child(root, "Globals", "Function"), parameters: map[string]string{
			"AWS::StackName": "sipeat", "AWS::Region": "eu-central-1", "AWS::AccountId": "111122223333", "AWS::Partition": "aws",
			"AWS::URLSuffix": "amazonaws.com",
		},
	}
	for name, n := range s.declared {
		if fallback := child(n, "Default"); fallback != nil {
			s.parameters[name] = fallback.Value
		}
	}
	maps.Copy(s.parameters, given)
	return s, nil
}

// child is what stands under keys, or nil.
func child(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		n = members(n)[key]
	}
	return n
}

func members(n *yaml.Node) map[string]*yaml.Node {
	all := map[string]*yaml.Node{}
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			all[n.Content[i].Value] = n.Content[i+1]
		}
	}
	return all
}

// of are the logical ids of a type, of those resources that there are with these parameters.
func (s *stack) of(resourceType string) (ids []string) {
	for id, n := range s.resources {
		condition := child(n, "Condition")
		if s.text(child(n, "Type")) == resourceType && (condition == nil || s.holds(condition.Value)) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// value is what a node comes to: a string, a []any, a map[string]any, or nil where there is nothing.
func (s *stack) value(n *yaml.Node) any {
	if n == nil {
		return nil
	}
	if function, custom := strings.CutPrefix(n.Tag, "!"); custom && !strings.HasPrefix(function, "!") {
		return s.intrinsic(function, n)
	}
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value
	case yaml.SequenceNode:
		all := []any{}
		for _, item := range n.Content {
			if v := s.value(item); v != nil {
				all = append(all, v)
			}
		}
		return all
	}
	all := map[string]any{}
	for key, item := range members(n) {
		if function, long := strings.CutPrefix(key, "Fn::"); long {
			return s.intrinsic(function, item)
		}
		if v := s.value(item); v != nil {
			all[key] = v
		}
	}
	return all
}

// intrinsic is a function of CloudFormation, of those that stand in the template. Base64 is left out: its text is compared.
func (s *stack) intrinsic(function string, n *yaml.Node) any {
	argument := func(i int) *yaml.Node {
		if i < len(n.Content) {
			return n.Content[i]
		}
		return nil
	}
	switch function {
	case "Ref":
		return s.ref(n.Value)
	case "GetAtt":
		return "<" + n.Value + ">"
	case "Base64":
		return n.Value
	case "Sub":
		if n.Kind == yaml.ScalarNode {
			return s.substitute(n.Value, nil)
		}
		return s.substitute(argument(0).Value, members(argument(1)))
	case "Join":
		return strings.Join(s.list(argument(1)), s.text(argument(0)))
	case "Split":
		var parts []any
		for part := range strings.SplitSeq(s.text(argument(1)), s.text(argument(0))) {
			parts = append(parts, part)
		}
		return parts
	case "If":
		if s.holds(argument(0).Value) {
			return s.value(argument(1))
		}
		return s.value(argument(2))
	case "Equals":
		return strconv.FormatBool(s.text(argument(0)) == s.text(argument(1)))
	case "Not":
		return strconv.FormatBool(s.text(argument(0)) != "true")
	case "And":
		return strconv.FormatBool(!slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return s.text(c) != "true" }))
	}
	return fmt.Sprintf("<!%s, which this test does not know>", function)
}

func (s *stack) ref(name string) any {
	if name == "AWS::NoValue" {
		return nil
	}
	if value, ok := s.parameters[name]; ok {
		return value
	}
	return "<" + name + ">"
}

// substitute puts values in for ${Name}, given beside the text or by the stack.
func (s *stack) substitute(text string, given map[string]*yaml.Node) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, after, _ := strings.Cut(rest, "}")
		if n, ok := given[name]; ok {
			out.WriteString(s.text(n))
		} else {
			fmt.Fprint(&out, s.ref(name))
		}
		text = after
	}
}

func (s *stack) holds(condition string) bool { return s.text(s.conditions[condition]) == "true" }

// text is the value of a node that is one; lists come to their items, one after the other.
func (s *stack) text(n *yaml.Node) string { return strings.Join(s.list(n), ",") }

// list is the value of a node that is one, or a list of texts.
func (s *stack) list(n *yaml.Node) []string { return texts(s.value(n)) }

func texts(value any) (all []string) {
	switch v := value.(type) {
	case nil:
	case []any:
		for _, item := range v {
			all = append(all, fmt.Sprint(item))
		}
	default:
		all = append(all, fmt.Sprint(v))
	}
	return all
}
