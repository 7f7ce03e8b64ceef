package world

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
)

// bag takes what is no JSON: a file beside an identifier, XML, a text.
func bag(m *memo) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /albums", func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		name := regexp.MustCompile(`<album><title>([^<]+)</title></album>$`).FindSubmatch(raw)
		if name == nil || r.Header.Get("Content-Type") != "application/xml" {
			answer(w, 400, map[string]string{"error": "an album in XML is wanted"})
			return
		}
		id := m.next()
		m.add("album", id, caller(r), "", map[string]any{"albumId": json.Number(id), "title": string(name[1])})
		answer(w, 201, map[string]any{"albumId": json.Number(id)})
	})
	mux.HandleFunc("GET /albums/{id}", func(w http.ResponseWriter, r *http.Request) {
		if o := m.find("album", r.PathValue("id"), caller(r), ""); o != nil {
			answer(w, 200, o.fields)
			return
		}
		w.WriteHeader(404)
	})
	mux.HandleFunc("POST /photos", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			answer(w, 415, map[string]string{"error": err.Error()})
			return
		}
		if m.find("album", r.FormValue("album_id"), caller(r), "") == nil {
			answer(w, 422, map[string]any{"errors": []map[string]string{{"field": "album_id", "message": "does not exist"}}})
			return
		}
		f, h, err := r.FormFile("photo")
		if err != nil {
			answer(w, 422, map[string]any{"errors": []map[string]string{{"field": "photo", "message": "is required"}}})
			return
		}
		raw, _ := io.ReadAll(f)
		if http.DetectContentType(raw) != "image/png" || h.Header.Get("Content-Type") != "image/png" {
			answer(w, 422, map[string]any{"errors": []map[string]string{{"field": "photo", "message": "must be a PNG"}}})
			return
		}
		id := m.next()
		m.add("photo", id, caller(r), "", map[string]any{"id": json.Number(id), "caption": r.FormValue("caption")})
		answer(w, 201, map[string]any{"photo": map[string]any{"id": json.Number(id), "caption": r.FormValue("caption")}})
	})
	mux.HandleFunc("GET /photos", func(w http.ResponseWriter, r *http.Request) { answer(w, 200, m.list("photo", caller(r), "")) })
	mux.HandleFunc("PUT /motto", func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		if r.Header.Get("Content-Type") != "text/plain" || len(raw) == 0 {
			w.WriteHeader(415)
			return
		}
		w.WriteHeader(204)
	})
	return guarded(mux)
}

const bagSpec = `
openapi: 3.0.3
info: {title: Albums, version: "1"}
components:
  securitySchemes: {b: {type: http, scheme: bearer}}
  schemas:
    album: {type: object, required: [title], properties: {title: {type: string}}, xml: {name: album}}
security: [{b: []}]
paths:
  /albums:
    post:
      requestBody: {required: true, content: {application/xml: {schema: {$ref: "#/components/schemas/album"}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {albumId: {type: integer}}}}}}}
  /albums/{albumId}:
    parameters: [{in: path, name: albumId, required: true, schema: {type: integer}}]
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {albumId: {type: integer}, title: {type: string}}}}}}}}
  /photos:
    get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {type: object, properties: {id: {type: integer}, caption: {type: string}}}}}}}}}
    post:
      requestBody:
        required: true
        content:
          multipart/form-data:
            schema: {type: object, required: [album_id, photo], properties: {album_id: {type: integer}, caption: {type: string}, photo: {type: string, format: binary}}}
      responses: {"201": {description: made}}
  /motto:
    put:
      requestBody: {required: true, content: {text/plain: {schema: {type: string}}}}
      responses: {"204": {description: ok}}
`
