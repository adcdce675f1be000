// Command kstatus reads Kubernetes objects as JSON from standard input, one array or a stream of
// objects (Lists are opened), and prints for each the verdict of sigs.k8s.io/cli-utils's kstatus
// as one line of JSON: kind, namespace, name, status, message.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// maxInput bounds what is read, in bytes.
const maxInput = 64 << 20

// verdict is one line of output.
type verdict struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Status    string `json:"status"`
	Message   string `json:"message"`
}

func main() {
	if err := run(io.LimitReader(os.Stdin, maxInput), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

// run judges every object of the stream in and writes one line per object to out.
func run(in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(in)
	encoder := json.NewEncoder(out)
	for {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading: %w", err)
		}
		if err := judge(raw, encoder); err != nil {
			return err
		}
	}
}

// judge writes the verdict of raw, which is an object, a List or an array of them.
func judge(raw json.RawMessage, encoder *json.Encoder) error {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) == nil {
		return judgeAll(items, encoder)
	}
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("not an object: %w", err)
	}
	if list.Items != nil {
		return judgeAll(list.Items, encoder)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(raw); err != nil {
		return fmt.Errorf("not a Kubernetes object: %w", err)
	}
	result, err := status.Compute(object)
	if err != nil {
		return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return encoder.Encode(verdict{
		Kind:      object.GetKind(),
		Namespace: object.GetNamespace(),
		Name:      object.GetName(),
		Status:    result.Status.String(),
		Message:   result.Message,
	})
}

// judgeAll judges each of items in turn.
func judgeAll(items []json.RawMessage, encoder *json.Encoder) error {
	for _, item := range items {
		if err := judge(item, encoder); err != nil {
			return err
		}
	}
	return nil
}
