// A gateway without a line about security: plain HTTP to http://ledger, which its sidecar takes.
package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	listener, err := net.Listen("unix", os.Getenv("MESHWARDEN_SOCKET"))
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		request, _ := http.NewRequestWithContext(r.Context(), r.Method, "http://ledger"+r.URL.Path, r.Body)
		answer, err := http.DefaultClient.Do(request) // finds the sidecar through HTTP_PROXY
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		io.Copy(w, answer.Body)
	})
	log.Fatal(http.Serve(listener, nil))
}
