# The image of a Warpgate: one static program, CA roots, and a user that is not root.
FROM scratch
ARG TARGETPLATFORM
COPY bin/release/image/ /
COPY --chown=65532:65532 --chmod=0700 bin/release/state/ /var/lib/warpgate/
COPY LICENSE bin/release/warpgate/THIRD_PARTY_LICENSES /usr/share/doc/warpgate/
COPY $TARGETPLATFORM/warpgate /warpgate
ENV HOME=/var/lib/warpgate
USER 65532:65532
ENTRYPOINT ["/warpgate"]
