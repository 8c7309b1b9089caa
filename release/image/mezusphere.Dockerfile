# The image of control plane and edge: one static program, CA roots, and a user that is not root.
FROM scratch
ARG TARGETPLATFORM
COPY bin/release/image/ /
COPY --chown=65532:65532 --chmod=0700 bin/release/state/ /var/lib/mezusphere/
COPY LICENSE bin/release/mezusphere/THIRD_PARTY_LICENSES /usr/share/doc/mezusphere/
COPY $TARGETPLATFORM/mezusphere /mezusphere
ENV MEZUSPHERE_STATE=/var/lib/mezusphere
USER 65532:65532
ENTRYPOINT ["/mezusphere"]
