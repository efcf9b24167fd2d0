"""The gate: manifests judged by Rego rules, before they are merged and when they are admitted.

- `model`: rules, documents, subjects, findings, problems, reports. `kinds`: of Kubernetes itself.
- `subjects`: which documents are manifests. `context`: what the rest of the input says about one.
- `answers`: what rules return. `judge`: from violations to findings, waivers and baseline included.
- `settings`: the configuration. `baseline`: fingerprints. `frames`: lines to show, secrets masked.
- `admission`: an AdmissionReview in, its response out. `render/`: a report as text for people, CI
  systems and machines.
- `rules/`: the packs that ship, as data; the engine that runs them is an adapter (`adapters/rego`).
"""
