/* blocks.h - made by make_blocks.py with PyTorch 2.15.0 */

/* after: the gradient, of running statistics the value behind the pass */
typedef struct blocks_param {
    const char *name;
    int count;
    const float *value, *after;
} blocks_param;

typedef struct blocks_golden {
    const char *name;
    int x_dim[4], y_dim[4], params;
    const blocks_param *param;
    const float *x, *g, *y, *dx;
} blocks_golden;

static const float basic_0[] = {
    -.09f, .25f, .09f, -.45f, .45f, .03f, -.17f, -.01f, -.11f, .09f, -.47f, -.11f, .13f, .23f, -.43f, .23f, .33f,
    .43f, -.25f, -.13f, -.33f, .55f, -.21f, .39f, .41f, -.53f, .13f, .09f, -.27f, .07f, -.01f, .23f, .23f, .17f,
    -.25f, -.51f, .23f, -.17f, .09f, -.25f, -.07f, .01f, -.35f, -.23f, -.51f, .03f, -.27f, .39f, .13f, .43f, .57f,
    .11f, .51f, -.27f, .47f, -.03f, -.01f, -.43f, -.45f, -.21f, .35f, -.57f, .53f, -.47f, -.21f, .25f, .27f, .55f,
    .51f, .25f, -.55f, -.35f, -.41f, -.45f, -.11f, -.59f, -.15f, -.43f, .25f, .07f, .21f,
};

static const float basic_0d[] = {
    -.559151f, .0081508f, -.510403f, -1.00543f, -.11647f, -.107534f, .90288f, -.135376f, -.470546f, -.209279f,
    .644018f, -.125994f, .0828496f, -.00759284f, .124471f, .169448f, .301823f, -.371286f, .00986702f, -.714362f,
    .202597f, 1.10514f, 1.32568f, -.482391f, .0313838f, .282468f, .325869f, -.409156f, -.252826f, -.261267f,
    .167314f, .00390776f, .0751603f, -.288248f, .186892f, -.151119f, -.325209f, .00313443f, .144977f, -.154276f,
    .211945f, -.0724821f, .228163f, -.0233027f, .152924f, .16603f, .352706f, -.022378f, .0598133f, .47329f,
    -.135886f, .352024f, .157854f, -.0986029f, -.255704f, .551636f, .646184f, -1.01195f, -.650386f, -.225431f,
    .38413f, .391966f, .0818089f, -.117106f, -.100669f, .358289f, .187979f, -.235711f, .225919f, -.0774697f,
    -.0926089f, -.0302436f, .880404f, -.0040105f, -.226933f, .560429f, -.0695857f, .0619076f, -.195194f, -.385077f,
    -.351311f,
};

static const float basic_1[] = {
    1.35f, .61f, .83f,
};

static const float basic_1d[] = {
    -.327207f, -1.15266f, .645082f,
};

static const float basic_2[] = {
    -.31f, -.37f, .47f,
};

static const float basic_2d[] = {
    -.747432f, -1.04314f, -.0174823f,
};

static const float basic_3[] = {
    .03f, -.39f, -.09f, .47f, -.47f, -.49f, .45f, .61f, .45f, -.37f, -.37f, .43f, .37f, -.53f, .35f, -.25f, .07f,
    -.13f, .01f, -.39f, -.07f, .17f, .59f, .43f, -.25f, .01f, .11f, -.21f, -.25f, -.57f, .03f, -.17f, -.19f, -.01f,
    -.23f, .43f, -.47f, -.49f, .43f, .07f, .25f, .41f, -.29f, .29f, .21f, -.13f, .07f, -.09f, .37f, -.01f, -.15f,
    .17f, -.23f, -.21f, .13f, .31f, -.09f, -.15f, -.07f, .39f, .13f, -.59f, .33f, .13f, -.45f, -.37f, .57f, -.47f,
    -.39f, .19f, -.27f, -.47f, -.57f, -.29f, .31f, -.59f, .55f, -.25f, .41f, .53f, .17f,
};

static const float basic_3d[] = {
    .545066f, .377225f, -.153981f, -.0792286f, 1.19147f, -.0754915f, .107697f, .214395f, .175058f, .066848f,
    .0649676f, .0394995f, .252541f, .196606f, -.240104f, .14051f, .137333f, -.118208f, .0230352f, .203085f,
    -.219542f, .258664f, .977784f, -.112553f, -.0955109f, -.467352f, .252718f, .360444f, .0961774f, .174933f,
    .307382f, -.667991f, -.725885f, .166952f, .425945f, .00925551f, .0270008f, .00405272f, -.0123247f, -.0812028f,
    -.260504f, -.0489252f, .105112f, .306525f, .0103609f, .24739f, .671177f, .548603f, .837082f, 1.03738f,
    .279127f, .100102f, .458218f, .237512f, .0911565f, .102015f, -.430164f, -.619777f, .311485f, .236341f,
    .107076f, .311961f, .509447f, -.00645108f, -.0863419f, .00273911f, -.0276067f, .160286f, .00357913f,
    -.0976605f, .0826635f, .0719844f, -.0744941f, .0712718f, -.000471722f, -.310284f, .00539048f, .180803f,
    -.154786f, -.501489f, .314317f,
};

static const float basic_4[] = {
    .55f, .53f, .77f,
};

static const float basic_4d[] = {
    2.3959f, .536821f, -.713085f,
};

static const float basic_5[] = {
    .19f, -.23f, -.41f,
};

static const float basic_5d[] = {
    .81f, .34f, -.44f,
};

static const float basic_6[] = {
    -.27f, .29f, -.19f,
};

static const float basic_6d[] = {
    -.241548f, .245489f, -.163218f,
};

static const float basic_7[] = {
    1.33f, .69f, .97f,
};

static const float basic_7d[] = {
    1.21953f, .63685f, .902215f,
};

static const float basic_8[] = {
    .23f, -.31f, -.35f,
};

static const float basic_8d[] = {
    .244088f, -.319887f, -.295908f,
};

static const float basic_9[] = {
    1.03f, 1.39f, 1.09f,
};

static const float basic_9d[] = {
    1.04411f, 1.29774f, 1.0981f,
};

static const blocks_param basic_params[] = {
    { "conv1.weight", 81, basic_0, basic_0d },
    { "bn1.weight", 3, basic_1, basic_1d },
    { "bn1.bias", 3, basic_2, basic_2d },
    { "conv2.weight", 81, basic_3, basic_3d },
    { "bn2.weight", 3, basic_4, basic_4d },
    { "bn2.bias", 3, basic_5, basic_5d },
    { "bn1.running_mean", 3, basic_6, basic_6d },
    { "bn1.running_var", 3, basic_7, basic_7d },
    { "bn2.running_mean", 3, basic_8, basic_8d },
    { "bn2.running_var", 3, basic_9, basic_9d }
};

static const float basic_x[] = {
    -.37f, .61f, .11f, .41f, -.27f, -.45f, .35f, .03f, .53f, .19f, -.35f, .01f, .23f, .35f, -.25f, .35f, -.09f,
    .43f, .13f, -.41f, .53f, .19f, -.43f, .51f, .49f, -.17f, .47f, -.25f, .25f, -.53f, -.21f, -.23f, .51f, -.41f,
    -.33f, -.03f, .59f, .07f, -.51f, .01f, .01f, -.51f, -.07f, .05f, -.15f, -.21f, .35f, .17f, .23f, .47f, .21f,
    -.01f, -.15f, -.23f, -.55f, -.53f, .25f, .21f, -.19f, -.03f, .55f, .55f, -.39f, .31f, -.47f, .35f, .01f, -.13f,
    .29f, .07f, .37f, .41f, -.25f, .27f, -.33f, .01f, -.21f, -.07f, .35f, -.07f, .59f, -.37f, -.17f, -.47f, -.57f,
    .07f, .05f, -.07f, -.23f, -.57f, -.45f, .09f, -.31f, -.29f, .39f, .19f,
};

static const float basic_g[] = {
    .55f, .53f, .43f, -.49f, .57f, .37f, .43f, .25f, -.35f, -.19f, .45f, .17f, -.55f, .19f, .25f, .11f, -.15f,
    -.23f, .13f, .07f, -.21f, -.09f, -.05f, -.07f, -.07f, .57f, .03f, .45f, -.33f, -.03f, .37f, -.25f, .17f, .51f,
    .15f, -.53f, -.29f, -.23f, .35f, -.31f, -.27f, .03f, .17f, .45f, -.15f, -.29f, .05f, .49f, -.53f, .27f, -.51f,
    -.15f, .25f, .41f, .07f, -.13f, .33f, -.27f, -.23f, .59f, -.25f, -.55f, -.33f, .17f, .57f, .29f, .37f, .57f,
    .15f, .15f, .31f, .23f, .23f, .03f, .29f, -.21f, .45f, .17f, -.29f, -.43f, .43f, .13f, -.47f, .41f, .07f, .19f,
    -.15f, -.49f, -.55f, .01f, -.27f, .07f, -.21f, .59f, .49f, -.35f,
};

static const float basic_y[] = {
    0.0f, 1.13334f, 1.19031f, .534249f, 0.0f, 0.0f, 1.30927f, .272317f, .803037f, .642885f, .422547f, .722559f,
    0.0f, .523544f, 0.0f, 0.0f, .25019f, 0.0f, .138205f, 0.0f, 0.0f, 0.0f, 0.0f, .673082f, 0.0f, 0.0f, .568302f,
    .141369f, .276991f, 0.0f, 0.0f, 0.0f, .816829f, 0.0f, 0.0f, .145483f, .656837f, 0.0f, 0.0f, .798772f, 0.0f,
    0.0f, .27872f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .343005f, .507645f, .437747f, 0.0f, .040274f, .775766f, .73709f,
    0.0f, .598032f, .497003f, 0.0f, 0.0f, .269237f, 1.45822f, 0.0f, .34076f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    .0272401f, 1.32775f, 0.0f, 0.0f, .0671936f, 0.0f, 0.0f, .0328897f, .589277f, .0941375f, .341703f, .14595f,
    .834267f, .533412f, 0.0f, 0.0f, .202734f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
};

static const float basic_dx[] = {
    -.133226f, 1.14086f, .0317685f, -.572398f, -.579406f, .481021f, .228716f, .312936f, -.27296f, -.344653f,
    .534622f, .672031f, .0873021f, -.193767f, -.275681f, .336884f, -.130641f, -.433991f, .220691f, .410095f,
    .204413f, -.115141f, -.493342f, -.483132f, -.0464302f, .143007f, .445609f, .712942f, -.0359208f, .499874f,
    .066451f, .18689f, -.117454f, -.722759f, .23091f, -1.02545f, .2816f, -.92551f, .5613f, -.928171f, .378076f,
    -.447368f, -.0637029f, -.166225f, -.101208f, -.225581f, -.14512f, .0534374f, -.536643f, .469614f, -.0446546f,
    -.096517f, -.502463f, -.286218f, .485946f, -.486668f, .0012748f, -.469174f, .269904f, .201095f, -.195607f,
    -.0781762f, .152562f, .438626f, .163577f, -.119604f, -.255206f, -.414385f, .0464202f, .634089f, .911169f,
    .195669f, .0494901f, -.349465f, .0534926f, -.465209f, -.193602f, -.191603f, -.686326f, -.56072f, .212085f,
    .653995f, -.750498f, .741535f, -.165396f, -.653424f, -.503016f, .0824838f, .790037f, .50997f, .2667f,
    .0398446f, .384842f, .361106f, .724651f, .141988f,
};

static const float basic_stride_0[] = {
    .25f, -.29f, .57f, .33f, .33f, -.51f, -.13f, -.55f, -.45f, -.41f, -.15f, .05f, -.53f, .49f, .59f, .19f, -.41f,
    .15f, .13f, .33f, .17f, -.03f, -.13f, .11f, -.19f, .13f, -.51f, .39f, .15f, .25f, .53f, -.25f, .25f, .05f,
    .07f, .31f, .21f, -.27f, .07f, .27f, .39f, -.17f, .43f, .25f, -.55f, .11f, .41f, .61f, .57f, .09f, .35f, .19f,
    -.33f, .23f,
};

static const float basic_stride_0d[] = {
    -.62972f, .330156f, -.231915f, -.390661f, .651999f, -.340484f, .759348f, -.555373f, .0895382f, -.817935f,
    -.28913f, .309195f, .878f, -.74557f, 1.01703f, .444462f, .61866f, -.235525f, -3.04809f, .0720872f, -2.46954f,
    .16284f, 1.44027f, -4.24785f, .448616f, -.638843f, .166234f, -2.46891f, -1.07704f, -.281573f, 3.96397f,
    .289757f, 3.11342f, -1.51201f, 1.35427f, .23639f, 1.98103f, -.765945f, .770619f, .221021f, -.14999f, .902831f,
    -.571928f, -.394329f, .158281f, 1.2177f, 1.32098f, -.140541f, -1.55472f, .38386f, -.728082f, -.0592435f,
    -.746986f, .819817f,
};

static const float basic_stride_1[] = {
    1.13f, .81f, .97f,
};

static const float basic_stride_1d[] = {
    -.0131675f, -1.23124f, .593324f,
};

static const float basic_stride_2[] = {
    .15f, .53f, .05f,
};

static const float basic_stride_2d[] = {
    .197497f, .727225f, .431554f,
};

static const float basic_stride_3[] = {
    .07f, -.23f, .43f, .47f, .27f, -.57f, -.13f, -.31f, .33f, .41f, -.51f, .39f, .07f, .47f, .47f, .49f, .59f,
    .31f, .29f, .47f, -.05f, .53f, -.05f, -.39f, -.21f, .13f, -.01f, -.33f, -.31f, .51f, .33f, -.47f, .31f, -.43f,
    .15f, .17f, -.03f, .35f, -.45f, -.23f, -.43f, -.17f, .27f, -.35f, -.53f, .07f, .29f, -.27f, .55f, .43f, .55f,
    -.07f, -.49f, -.25f, .01f, -.33f, -.35f, -.53f, .05f, .37f, -.41f, -.49f, .45f, .29f, -.19f, .37f, -.57f,
    -.27f, .05f, -.55f, .09f, -.35f, .09f, .03f, .35f, -.41f, -.31f, -.03f, .51f, -.03f, -.21f,
};

static const float basic_stride_3d[] = {
    -.0573028f, -.746705f, -.243652f, -.329453f, -.335784f, -.655803f, .589246f, -.13856f, -.245251f, -.0947654f,
    -.67213f, -.779949f, .140757f, .584713f, -.215784f, -.127237f, -.203228f, -.12024f, .0473237f, -.590039f,
    -.596214f, -.130123f, -.517916f, -.587051f, .457223f, .809186f, .144732f, .0627865f, -.210161f, -.508801f,
    -.250499f, .202516f, .692946f, -.450458f, -1.34121f, -.966956f, -.243392f, .245046f, .0706743f, -.124643f,
    1.03534f, .225871f, -.878384f, .489431f, -.326825f, .516069f, .673136f, .166268f, -.599297f, .602277f, .65858f,
    -.581822f, -.356996f, -1.1407f, -.0880333f, -.558291f, .00372671f, -.301264f, .531066f, -.355958f, .0310179f,
    .579386f, .773485f, .0667874f, .236499f, -.0304527f, .157157f, -1.07093f, -.996591f, -.013799f, .0786973f,
    .211477f, .00257737f, -.970348f, -.561855f, .0855044f, -.21816f, -.151776f, -.169166f, .0204226f, .315679f,
};

static const float basic_stride_4[] = {
    1.41f, 1.15f, 1.21f,
};

static const float basic_stride_4d[] = {
    -1.41773f, -1.42079f, .429119f,
};

static const float basic_stride_5[] = {
    -.15f, -.25f, -.17f,
};

static const float basic_stride_5d[] = {
    -.41f, -.17f, .23f,
};

static const float basic_stride_6[] = {
    -.49f, -.11f, -.21f, .11f, .61f, -.49f,
};

static const float basic_stride_6d[] = {
    .265124f, -1.18252f, .617674f, 1.18542f, .529687f, .659356f,
};

static const float basic_stride_7[] = {
    .69f, 1.49f, .99f,
};

static const float basic_stride_7d[] = {
    .539828f, .293859f, .183115f,
};

static const float basic_stride_8[] = {
    .43f, .29f, -.55f,
};

static const float basic_stride_8d[] = {
    -.41f, -.17f, .23f,
};

static const float basic_stride_9[] = {
    .07f, .05f, .39f,
};

static const float basic_stride_9d[] = {
    .0644878f, .0388056f, .348554f,
};

static const float basic_stride_10[] = {
    1.43f, .89f, .59f,
};

static const float basic_stride_10d[] = {
    1.30735f, .80507f, .542584f,
};

static const float basic_stride_11[] = {
    .33f, -.27f, .25f,
};

static const float basic_stride_11d[] = {
    .411186f, -.28726f, .126005f,
};

static const float basic_stride_12[] = {
    1.39f, .57f, 1.47f,
};

static const float basic_stride_12d[] = {
    1.40476f, .642766f, 1.48465f,
};

static const float basic_stride_13[] = {
    -.11f, -.51f, .31f,
};

static const float basic_stride_13d[] = {
    -.0999678f, -.459432f, .280274f,
};

static const float basic_stride_14[] = {
    1.45f, .91f, .83f,
};

static const float basic_stride_14d[] = {
    1.30737f, .819676f, .75471f,
};

static const blocks_param basic_stride_params[] = {
    { "conv1.weight", 54, basic_stride_0, basic_stride_0d },
    { "bn1.weight", 3, basic_stride_1, basic_stride_1d },
    { "bn1.bias", 3, basic_stride_2, basic_stride_2d },
    { "conv2.weight", 81, basic_stride_3, basic_stride_3d },
    { "bn2.weight", 3, basic_stride_4, basic_stride_4d },
    { "bn2.bias", 3, basic_stride_5, basic_stride_5d },
    { "downsample.0.weight", 6, basic_stride_6, basic_stride_6d },
    { "downsample.1.weight", 3, basic_stride_7, basic_stride_7d },
    { "downsample.1.bias", 3, basic_stride_8, basic_stride_8d },
    { "bn1.running_mean", 3, basic_stride_9, basic_stride_9d },
    { "bn1.running_var", 3, basic_stride_10, basic_stride_10d },
    { "bn2.running_mean", 3, basic_stride_11, basic_stride_11d },
    { "bn2.running_var", 3, basic_stride_12, basic_stride_12d },
    { "downsample.1.running_mean", 3, basic_stride_13, basic_stride_13d },
    { "downsample.1.running_var", 3, basic_stride_14, basic_stride_14d }
};

static const float basic_stride_x[] = {
    -.27f, -.47f, -.17f, .35f, .45f, -.17f, -.11f, -.09f, -.35f, -.47f, -.47f, .15f, -.37f, -.55f, .17f, .55f,
    .61f, -.15f, .53f, -.03f, .21f, .19f, -.01f, -.01f, .27f, -.13f, -.35f, -.59f, -.49f, -.43f, .59f, .15f, .27f,
    -.51f, -.55f, .49f, .33f, .05f, -.19f, -.45f, -.47f, .39f, .45f, .17f, .59f, -.15f, -.37f, .45f, -.29f, .31f,
    -.17f, -.15f, .27f, .07f, -.33f, .55f, -.45f, .23f, .09f, -.45f, .15f, -.11f, .57f, -.57f, .41f, .05f, .49f,
    -.49f, .19f, -.01f, -.19f, -.21f, .19f, .09f, -.35f, .11f, -.13f, -.29f, -.17f, -.15f, .43f, -.57f, -.25f,
    .19f, -.09f, .41f, .57f, -.17f, .59f, .37f, -.41f, .09f, .29f, -.19f, .37f, .43f, -.39f, -.13f, .45f, -.15f,
};

static const float basic_stride_g[] = {
    .23f, .41f, .17f, -.39f, -.23f, -.47f, .45f, .59f, -.05f, .45f, -.27f, .53f, .47f, -.47f, .47f, .49f, .33f,
    -.25f, .17f, -.09f, .57f, -.27f, -.25f, .03f, -.43f, -.45f, -.35f, .35f, -.45f, .39f, .45f, .59f, -.19f, -.23f,
    -.41f, -.11f, -.55f, .49f, -.17f, -.39f, .27f, .45f, .07f, .07f, -.05f, -.01f, -.49f, .61f, .53f, .03f, -.17f,
    -.03f, -.35f, .57f,
};

static const float basic_stride_y[] = {
    1.12182f, 0.0f, 0.0f, 1.88193f, 3.44291f, 0.0f, 0.0f, 0.0f, .414724f, .005435f, .217634f, 0.0f, 2.71214f,
    3.51558f, 0.0f, .173798f, 1.40088f, .856534f, 0.0f, 1.20793f, 1.71223f, 0.0f, 0.0f, 0.0f, .995881f, 0.0f, 0.0f,
    1.03153f, 0.0f, .943505f, 0.0f, 0.0f, 1.56018f, 0.0f, 1.29386f, 3.22605f, .623722f, 0.0f, 0.0f, 2.10641f, 0.0f,
    0.0f, 2.64207f, 0.0f, 2.45277f, 0.0f, 0.0f, 0.0f, .479319f, 0.0f, 0.0f, 0.0f, .451864f, 0.0f,
};

static const float basic_stride_dx[] = {
    -2.51929f, .318985f, 1.17291f, -.463467f, .825412f, .237434f, -.504852f, -.473885f, 1.26043f, -.0652365f,
    -.906284f, .0320878f, 2.47287f, -.0158227f, -.103441f, -1.18338f, -.0587547f, -1.12292f, .041164f, -.175284f,
    -2.5907f, -.282297f, -.694274f, .0360667f, 1.15324f, .362907f, -.915728f, .356023f, -.64343f, -1.05099f,
    -.0324352f, -.0343834f, -.311254f, -1.40863f, .0726407f, 1.14667f, -.494999f, -.728615f, -.574607f, .283203f,
    -.427529f, -1.59015f, .222089f, .00813637f, .192286f, 2.76722f, -.842968f, 1.14909f, -.162727f, -.373878f,
    .552645f, .36239f, -.585189f, .388153f, -.889032f, -.149985f, -.289014f, 1.43535f, -.368291f, .160785f,
    2.52436f, .0686376f, -.869841f, -.0809696f, .0431366f, .472867f, -1.28956f, -1.02598f, -1.80593f, -.122858f,
    -.603746f, .75368f, .393237f, -.241662f, .623994f, -1.87875f, 1.27683f, -.564861f, 1.06877f, -.299782f,
    .563129f, .942093f, .0687551f, 1.37303f, -.0326314f, -1.77778f, .308766f, -.297468f, 1.40393f, -.0430706f,
    .276148f, -.295505f, .239422f, 1.0626f, .150711f, -.406382f, -.604779f, 1.28658f, .0883355f, .0698871f,
};

static const float bottleneck_0[] = {
    -.01f, -.01f, -.15f, .07f, .43f, -.07f, -.27f, -.17f, -.25f, -.01f, -.05f, .51f,
};

static const float bottleneck_0d[] = {
    -6.56148f, -9.35405f, -2.62482f, 5.79732f, -2.83509f, -3.71481f, 2.55347f, -2.77803f, -5.03769f, 5.01025f,
    -11.0648f, -3.02953f,
};

static const float bottleneck_1[] = {
    .71f, 1.15f,
};

static const float bottleneck_1d[] = {
    -1.31613f, 1.31285f,
};

static const float bottleneck_2[] = {
    .21f, .25f,
};

static const float bottleneck_2d[] = {
    -4.27583f, 1.29034f,
};

static const float bottleneck_3[] = {
    -.39f, .07f, .59f, -.33f, .11f, -.49f, -.03f, -.59f, .39f, .57f, .31f, -.43f, .41f, -.13f, .53f, .05f, .51f,
    -.31f, .25f, .17f, .15f, .39f, -.37f, -.29f, .43f, .29f, .39f, .49f, -.07f, -.59f, -.17f, -.35f, .53f, -.45f,
    .31f, -.19f,
};

static const float bottleneck_3d[] = {
    2.39127f, -1.165f, -.0569266f, .649413f, -.211789f, .0548028f, -.48282f, -1.27956f, -.521167f, 2.79595f,
    -.583589f, .436558f, 6.41798f, .901534f, -2.80659f, .0631461f, -3.10613f, -.242709f, -2.00668f, .435346f,
    -2.12812f, -1.97074f, -1.95285f, -2.28987f, -1.1396f, .0157134f, -1.21036f, -4.33364f, -2.0917f, .123131f,
    8.39219f, .615499f, 1.82144f, -3.39479f, 6.53746f, -1.36068f,
};

static const float bottleneck_4[] = {
    .65f, .61f,
};

static const float bottleneck_4d[] = {
    -.86909f, -.821234f,
};

static const float bottleneck_5[] = {
    .11f, -.35f,
};

static const float bottleneck_5d[] = {
    2.86058f, -2.15978f,
};

static const float bottleneck_6[] = {
    -.11f, .01f, .51f, .23f, .51f, .47f, .07f, -.05f, -.47f, .01f, .13f, -.33f,
};

static const float bottleneck_6d[] = {
    -.122045f, -1.1469f, .756195f, -1.67777f, .494285f, -.537087f, -3.12444f, -4.49249f, .00143343f, .065609f,
    -5.24639f, -2.05902f,
};

static const float bottleneck_7[] = {
    .75f, 1.35f, 1.33f, .57f, 1.03f, 1.33f,
};

static const float bottleneck_7d[] = {
    .711161f, -1.31488f, -2.55364f, .830189f, -.0881191f, -.366657f,
};

static const float bottleneck_8[] = {
    .55f, -.05f, -.39f, .17f, .29f, .55f,
};

static const float bottleneck_8d[] = {
    2.86f, -.4f, -1.14f, -.29f, -.55f, -.44f,
};

static const float bottleneck_9[] = {
    -.19f, .05f,
};

static const float bottleneck_9d[] = {
    -.169547f, .0381178f,
};

static const float bottleneck_10[] = {
    .89f, .71f,
};

static const float bottleneck_10d[] = {
    .803734f, .643922f,
};

static const float bottleneck_11[] = {
    -.05f, -.03f,
};

static const float bottleneck_11d[] = {
    .000722485f, -.0140182f,
};

static const float bottleneck_12[] = {
    .99f, 1.23f,
};

static const float bottleneck_12d[] = {
    1.02408f, 1.19104f,
};

static const float bottleneck_13[] = {
    .15f, -.17f, -.11f, .29f, .31f, .03f,
};

static const float bottleneck_13d[] = {
    .131849f, -.136156f, -.0802128f, .262652f, .265274f, .0281477f,
};

static const float bottleneck_14[] = {
    1.23f, 1.11f, 1.45f, .97f, .95f, 1.23f,
};

static const float bottleneck_14d[] = {
    1.10729f, 1.00723f, 1.31541f, .873084f, .860452f, 1.1072f,
};

static const blocks_param bottleneck_params[] = {
    { "conv1.weight", 12, bottleneck_0, bottleneck_0d },
    { "bn1.weight", 2, bottleneck_1, bottleneck_1d },
    { "bn1.bias", 2, bottleneck_2, bottleneck_2d },
    { "conv2.weight", 36, bottleneck_3, bottleneck_3d },
    { "bn2.weight", 2, bottleneck_4, bottleneck_4d },
    { "bn2.bias", 2, bottleneck_5, bottleneck_5d },
    { "conv3.weight", 12, bottleneck_6, bottleneck_6d },
    { "bn3.weight", 6, bottleneck_7, bottleneck_7d },
    { "bn3.bias", 6, bottleneck_8, bottleneck_8d },
    { "bn1.running_mean", 2, bottleneck_9, bottleneck_9d },
    { "bn1.running_var", 2, bottleneck_10, bottleneck_10d },
    { "bn2.running_mean", 2, bottleneck_11, bottleneck_11d },
    { "bn2.running_var", 2, bottleneck_12, bottleneck_12d },
    { "bn3.running_mean", 6, bottleneck_13, bottleneck_13d },
    { "bn3.running_var", 6, bottleneck_14, bottleneck_14d }
};

static const float bottleneck_x[] = {
    -.35f, .09f, -.45f, -.31f, .51f, .41f, -.01f, -.57f, -.45f, .27f, .53f, .13f, -.15f, .51f, -.01f, -.37f, -.29f,
    .45f, .21f, .37f, .55f, -.45f, -.11f, .11f, .57f, -.37f, .29f, -.19f, -.05f, .01f, .31f, .25f, .51f, -.47f,
    .59f, .57f, -.05f, -.47f, .37f, .23f, .19f, -.25f, -.31f, -.51f, -.37f, -.27f, -.35f, -.55f, .39f, -.05f, .31f,
    -.41f, .17f, -.41f, -.39f, .43f, -.09f, -.17f, .01f, .17f, -.27f, .03f, .39f, .57f, .37f, .55f, .45f, .53f,
    .17f, .51f, .53f, .59f, .55f, .05f, -.05f, -.51f, -.35f, .09f, .37f, .37f, -.27f, -.33f, -.55f, -.15f, .05f,
    .27f, -.35f, -.29f, .59f, -.51f, .59f, -.35f, .49f, .37f, .33f, .39f, .37f, -.05f, .13f, .53f, .35f, -.47f,
    -.31f, -.23f, .09f, .37f, .27f, .19f,
};

static const float bottleneck_g[] = {
    -.13f, .35f, .29f, .17f, .23f, .07f, -.45f, .43f, .13f, -.49f, .23f, -.59f, .15f, .15f, .39f, -.53f, -.37f,
    .57f, -.43f, .49f, .49f, -.27f, -.33f, .33f, -.51f, -.11f, .13f, -.53f, .07f, -.43f, -.25f, .43f, -.11f, -.53f,
    .11f, -.21f, -.29f, -.03f, -.45f, -.03f, -.51f, .61f, .09f, -.05f, .53f, .15f, .09f, -.45f, .07f, -.49f, -.29f,
    .55f, .37f, .59f, .29f, .29f, -.53f, -.25f, .51f, .51f, .31f, .01f, .41f, -.29f, .55f, .05f, -.05f, -.55f,
    .29f, .45f, -.07f, -.57f, -.51f, .51f, -.55f, .23f, .43f, .03f, -.23f, .25f, -.31f, .15f, -.19f, .55f, -.55f,
    .61f, -.05f, -.07f, -.27f, .15f, -.23f, .15f, .05f, .05f, -.19f, -.09f, .07f, .09f, -.55f, .19f, -.03f, -.19f,
    -.09f, .43f, .13f, -.29f, -.37f, -.17f,
};

static const float bottleneck_y[] = {
    0.0f, 1.09249f, .386588f, .692487f, 0.0f, 1.41249f, 0.0f, .130424f, 0.0f, 1.21221f, 0.0f, 0.0f, 0.0f, 4.02361f,
    0.0f, 2.99292f, 0.0f, .814386f, 1.10896f, 0.0f, 0.0f, 0.0f, 2.79148f, 0.0f, 3.69447f, 0.0f, .180623f, 0.0f,
    0.0f, 0.0f, .147176f, 2.18203f, .347176f, .802751f, .696874f, 1.10977f, 0.0f, .443006f, 1.059f, 1.14301f, 0.0f,
    .663006f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .0661794f, .590736f, 4.24052f, .510736f, 0.0f, 1.12716f, 1.76131f,
    .612487f, 1.43249f, .912487f, .832487f, .217309f, 1.17849f, .150989f, 1.03249f, 1.39249f, 0.0f, 0.0f, 0.0f,
    0.0f, 1.01236f, 0.0f, .553327f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, .748126f, 0.0f, .0663692f, .427176f, 0.0f, 1.50301f, .563006f, 1.40301f, 1.28301f, .157636f,
    1.3049f, .497824f, .863006f, 1.04301f, .730736f, .550736f, 0.0f, 0.0f, 1.20188f, 0.0f, 2.02692f, .470736f,
    .390736f,
};

static const float bottleneck_dx[] = {
    .0606559f, .305395f, .233431f, 1.88964f, .135952f, -2.31068f, .00148552f, -1.17767f, .0202308f, -.455241f,
    -.030056f, -.0463852f, 1.05552f, .277591f, -1.50188f, -.531211f, -1.01508f, .579957f, -.504233f, -.116205f,
    -.461554f, .558009f, 1.39154f, -2.31567f, -.590203f, -1.59658f, .0430565f, .0674443f, .0357996f, .202492f,
    .330817f, -.362796f, -.142507f, -.489156f, .104454f, -.156413f, .411341f, .191575f, .795045f, 3.46198f,
    -4.87099f, .510748f, .250591f, .0336579f, .328004f, -.196927f, .0369473f, -.601574f, -3.83143f, .260988f,
    4.13653f, -.054329f, 3.3385f, .485044f, 2.69101f, -.120934f, -.55859f, -1.25136f, .491182f, 2.87277f,
    -1.79422f, 1.37652f, -.00481631f, 1.52684f, -.26081f, -.0216171f, -.610917f, -.593885f, 1.47107f, -.854014f,
    .857072f, -.24696f, 2.79693f, -.459301f, -.163888f, -.183453f, -1.2348f, 1.55687f, -1.15557f, 1.13875f,
    .156294f, -.19796f, .0241834f, .0676491f, -.408956f, 1.21799f, .402947f, -.544323f, -.156114f, -.285555f,
    -1.54595f, .315712f, .466355f, -2.41753f, 3.54195f, 2.28334f, -2.75225f, .731365f, -2.28494f, -3.98285f,
    .696436f, -.0327864f, 2.36119f, -.303327f, -4.86145f, 4.18533f, -3.03113f, .954837f,
};

static const float bottleneck_wider_0[] = {
    -.07f, .61f, -.01f, -.29f, .39f, -.43f,
};

static const float bottleneck_wider_0d[] = {
    -3.30922f, -.418855f, -2.39462f, -1.93524f, -.367988f, .971533f,
};

static const float bottleneck_wider_1[] = {
    1.41f, 1.09f,
};

static const float bottleneck_wider_1d[] = {
    .212134f, -.216159f,
};

static const float bottleneck_wider_2[] = {
    .03f, .35f,
};

static const float bottleneck_wider_2d[] = {
    .195711f, -.198177f,
};

static const float bottleneck_wider_3[] = {
    -.11f, .37f, -.53f, .45f, .29f, -.17f, .33f, -.23f, -.53f, -.17f, -.41f, -.43f, -.03f, -.47f, -.35f, -.55f,
    .45f, -.43f, .51f, -.25f, -.35f, -.47f, .49f, .09f, -.05f, -.59f, .27f, -.17f, -.21f, .51f, .21f, .19f, .13f,
    .39f, -.29f, -.35f,
};

static const float bottleneck_wider_3d[] = {
    -.0167561f, -1.46865f, .189478f, 3.56642f, -.650875f, .468158f, .692877f, -.109118f, -.0610676f, -.101566f,
    -.600958f, .280373f, 1.18135f, -.243006f, 1.33645f, .015508f, -1.30774f, .320404f, -4.27661f, .625352f,
    -2.50328f, 1.07597f, 4.90599f, -2.26415f, .260368f, .763984f, -1.64862f, -1.18441f, .296732f, -1.95605f,
    -.0438794f, 5.08469f, .265158f, .722401f, .568629f, -1.21733f,
};

static const float bottleneck_wider_4[] = {
    .51f, .67f,
};

static const float bottleneck_wider_4d[] = {
    3.27921f, -.487573f,
};

static const float bottleneck_wider_5[] = {
    -.47f, .01f,
};

static const float bottleneck_wider_5d[] = {
    2.79049f, -2.62682f,
};

static const float bottleneck_wider_6[] = {
    -.35f, -.29f, -.07f, -.51f, -.31f, .47f, -.13f, -.25f, .01f, -.19f, -.53f, -.59f, -.51f, .01f, .53f, -.55f,
};

static const float bottleneck_wider_6d[] = {
    .0576084f, -.0714923f, .0168613f, -.0025889f, -.00463469f, -.0029302f, -.424957f, .219719f, -1.17505f,
    -.0645759f, -.320873f, .287761f, .111892f, 6.30552f, .423177f, .407698f,
};

static const float bottleneck_wider_7[] = {
    .71f, .59f, 1.13f, .59f, .77f, .99f, .59f, 1.37f,
};

static const float bottleneck_wider_7d[] = {
    .838141f, .814807f, .166505f, .42777f, .327102f, 1.2537f, 1.00129f, .16289f,
};

static const float bottleneck_wider_8[] = {
    -.35f, .33f, .01f, -.37f, .19f, -.09f, -.41f, -.05f,
};

static const float bottleneck_wider_8d[] = {
    1.29f, -2.13f, .7f, .56f, -1.2f, 1.88f, -.29f, .09f,
};

static const float bottleneck_wider_9[] = {
    .43f, .11f, -.23f, -.41f, .09f, -.39f, -.15f, .57f, .17f, .21f, .23f, -.15f, -.55f, .15f, .51f, .27f, -.23f,
    -.13f, .49f, -.21f, .01f, .27f, .43f, .09f,
};

static const float bottleneck_wider_9d[] = {
    .362002f, -.730122f, .32259f, 1.87034f, -.766299f, -2.14226f, .253858f, .293842f, -.760068f, 2.58179f,
    1.33181f, 5.66978f, -.981149f, -.280608f, -.975982f, 1.10764f, -1.1761f, 4.37072f, -.122174f, -.14959f,
    2.82566f, -3.27021f, 2.26939f, -1.01897f,
};

static const float bottleneck_wider_10[] = {
    1.31f, 1.43f, .73f, .65f, .77f, 1.41f, 1.31f, 1.29f,
};

static const float bottleneck_wider_10d[] = {
    1.86582f, -.853978f, 1.20927f, -1.36135f, -1.99639f, 2.15092f, -.631722f, 1.27989f,
};

static const float bottleneck_wider_11[] = {
    -.53f, .43f, .17f, .31f, .05f, -.49f, -.35f, -.35f,
};

static const float bottleneck_wider_11d[] = {
    1.29f, -2.13f, .7f, .56f, -1.2f, 1.88f, -.29f, .09f,
};

static const float bottleneck_wider_12[] = {
    .13f, -.45f,
};

static const float bottleneck_wider_12d[] = {
    .121995f, -.402375f,
};

static const float bottleneck_wider_13[] = {
    1.51f, .91f,
};

static const float bottleneck_wider_13d[] = {
    1.36248f, .823393f,
};

static const float bottleneck_wider_14[] = {
    -.15f, .37f,
};

static const float bottleneck_wider_14d[] = {
    -.215766f, .349749f,
};

static const float bottleneck_wider_15[] = {
    1.03f, 1.15f,
};

static const float bottleneck_wider_15d[] = {
    1.09909f, 1.11311f,
};

static const float bottleneck_wider_16[] = {
    .43f, .43f, .11f, -.45f, .15f, -.23f, .25f, .39f,
};

static const float bottleneck_wider_16d[] = {
    .378046f, .372441f, .111601f, -.412345f, .129655f, -.22482f, .224172f, .336618f,
};

static const float bottleneck_wider_17[] = {
    .71f, .63f, 1.49f, 1.35f, 1.45f, .79f, .57f, .87f,
};

static const float bottleneck_wider_17d[] = {
    .640089f, .570581f, 1.3443f, 1.21584f, 1.30551f, .715559f, .513102f, .787682f,
};

static const float bottleneck_wider_18[] = {
    -.13f, -.15f, .51f, -.23f, .25f, -.23f, .01f, .23f,
};

static const float bottleneck_wider_18d[] = {
    -.117555f, -.134435f, .464285f, -.205955f, .228575f, -.209705f, .006365f, .210125f,
};

static const float bottleneck_wider_19[] = {
    .87f, .63f, .85f, .65f, 1.35f, 1.33f, .93f, 1.37f,
};

static const float bottleneck_wider_19d[] = {
    .785213f, .570916f, .769615f, .585467f, 1.22262f, 1.19931f, .841437f, 1.23447f,
};

static const blocks_param bottleneck_wider_params[] = {
    { "conv1.weight", 6, bottleneck_wider_0, bottleneck_wider_0d },
    { "bn1.weight", 2, bottleneck_wider_1, bottleneck_wider_1d },
    { "bn1.bias", 2, bottleneck_wider_2, bottleneck_wider_2d },
    { "conv2.weight", 36, bottleneck_wider_3, bottleneck_wider_3d },
    { "bn2.weight", 2, bottleneck_wider_4, bottleneck_wider_4d },
    { "bn2.bias", 2, bottleneck_wider_5, bottleneck_wider_5d },
    { "conv3.weight", 16, bottleneck_wider_6, bottleneck_wider_6d },
    { "bn3.weight", 8, bottleneck_wider_7, bottleneck_wider_7d },
    { "bn3.bias", 8, bottleneck_wider_8, bottleneck_wider_8d },
    { "downsample.0.weight", 24, bottleneck_wider_9, bottleneck_wider_9d },
    { "downsample.1.weight", 8, bottleneck_wider_10, bottleneck_wider_10d },
    { "downsample.1.bias", 8, bottleneck_wider_11, bottleneck_wider_11d },
    { "bn1.running_mean", 2, bottleneck_wider_12, bottleneck_wider_12d },
    { "bn1.running_var", 2, bottleneck_wider_13, bottleneck_wider_13d },
    { "bn2.running_mean", 2, bottleneck_wider_14, bottleneck_wider_14d },
    { "bn2.running_var", 2, bottleneck_wider_15, bottleneck_wider_15d },
    { "bn3.running_mean", 8, bottleneck_wider_16, bottleneck_wider_16d },
    { "bn3.running_var", 8, bottleneck_wider_17, bottleneck_wider_17d },
    { "downsample.1.running_mean", 8, bottleneck_wider_18, bottleneck_wider_18d },
    { "downsample.1.running_var", 8, bottleneck_wider_19, bottleneck_wider_19d }
};

static const float bottleneck_wider_x[] = {
    -.27f, .59f, -.57f, -.23f, .03f, -.27f, .09f, .15f, .27f, .37f, .29f, -.47f, .57f, -.25f, .21f, .25f, .19f,
    -.15f, -.01f, .03f, .13f, -.41f, .27f, .43f, .35f, -.51f, .03f, -.49f, .29f, .07f, .27f, .41f, -.01f, -.11f,
    -.09f, -.19f, .47f, -.55f, .05f, -.37f, -.45f, .23f, .21f, -.09f, .43f, -.25f, .27f, -.41f, .25f, .33f, -.15f,
    .21f, .07f, .19f, -.35f, .43f, -.15f, -.03f, -.51f, .37f, .23f, .37f, .09f, .05f, -.57f, .31f, .21f, .47f,
    .03f, -.53f, -.21f, .13f,
};

static const float bottleneck_wider_g[] = {
    -.13f, .37f, .11f, .41f, .51f, -.33f, .15f, .43f, -.05f, .33f, -.05f, -.21f, .01f, -.19f, -.45f, -.25f, .09f,
    -.13f, -.49f, .09f, .51f, -.51f, -.51f, -.37f, -.19f, .09f, .03f, .09f, -.17f, -.25f, .13f, .37f, -.19f, .57f,
    .33f, .37f, .53f, -.37f, .09f, .11f, .49f, -.03f, .41f, .31f, .41f, .19f, -.07f, .03f, -.39f, .37f, .11f,
    -.35f, .13f, .31f, -.25f, -.45f, .17f, -.47f, .19f, -.03f, .15f, -.17f, -.21f, -.25f, -.03f, -.51f, .61f,
    -.49f, .03f, .59f, -.29f, -.19f, .55f, -.57f, .13f, -.45f, -.29f, .17f, -.05f, -.01f, -.41f, -.53f, .05f,
    -.21f, -.13f, -.29f, -.49f, .13f, -.31f, .45f, -.57f, -.43f, .03f, .07f, .05f, -.17f, .51f, -.01f, .15f, -.03f,
    .15f, .09f, .03f, .59f, -.05f, .07f, .23f, -.53f, -.29f, .15f, -.17f, -.35f, .57f, -.15f, .11f, -.27f, .37f,
    -.23f, -.09f, -.47f, .51f, .35f, -.59f, .15f, -.55f, -.09f, -.19f, .27f, .31f, -.37f, -.17f, -.11f, -.31f,
    .05f, .55f, .23f, -.13f, -.21f, .45f, .15f, .03f, -.45f, -.55f, -.51f, -.21f, -.41f, .45f, -.51f, .05f, -.51f,
    -.37f, -.03f, .31f, .09f, .51f, .25f, .27f, .47f, .51f, -.07f, -.21f, .53f, .39f, -.13f, .59f, -.41f, .35f,
    -.19f, .17f, -.53f, -.07f, -.31f, -.47f, .51f, .39f, .35f, .47f, .57f, .15f, .31f, .41f, .39f, .01f, .45f,
    -.47f, .41f, -.21f, .35f, -.01f, -.49f, .41f, .11f,
};

static const float bottleneck_wider_y[] = {
    0.0f, 2.6279f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .985426f, .776959f, .175943f, 0.0f, .25479f, .675247f,
    1.6798f, 2.68716f, .362994f, .212943f, .125716f, 0.0f, .479995f, 0.0f, 0.0f, 2.20978f, 2.72234f, 0.0f, 2.2807f,
    .932417f, 0.0f, 1.81257f, 0.0f, 0.0f, 0.0f, 0.0f, 1.29152f, 2.43624f, 0.0f, 1.62055f, 0.0f, .347258f, .310271f,
    0.0f, .0903174f, .0980845f, 1.1777f, .102495f, .674366f, 0.0f, .461881f, 0.0f, .100061f, 0.0f, 1.19417f, 0.0f,
    .975934f, 1.10242f, .346924f, 0.0f, 0.0f, 0.0f, 0.0f, 2.94199f, 0.0f, 0.0f, 0.0f, 0.0f, .439735f, .333585f,
    .940158f, 2.125f, 0.0f, 0.0f, 0.0f, .702435f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .0159363f, .229367f, 1.27957f,
    .21082f, 0.0f, 0.0f, .611301f, 0.0f, 0.0f, 1.75179f, 0.0f, .67198f, 1.17235f, 1.58135f, 0.0f, .114523f, 0.0f,
    1.37061f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 1.24443f, 0.0f, .420263f, 0.0f, 0.0f, .555012f, .671896f,
    2.29715f, 4.23092f, 0.0f, 0.0f, .377098f, 0.0f, 3.44413f, .351889f, 1.76039f, 0.0f, 3.01244f, 0.0f, 0.0f, 0.0f,
    0.0f, 1.653f, .282843f, 0.0f, 0.0f, 0.0f, 1.17544f, 1.50022f, 0.0f, 0.0f, 0.0f, .391291f, .531299f, 0.0f,
    .376567f, .82042f, .517505f, 0.0f, 0.0f, .434005f, .400259f, .717265f, 1.47105f, .63579f, .930206f, 0.0f,
    1.74147f, .0346976f, .337808f, 0.0f, 1.03216f, .883812f, 0.0f, .864337f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    1.91068f, .598961f, 2.10226f, 0.0f, .665612f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .894022f, 0.0f, 1.10342f, 0.0f,
    1.10262f, 0.0f, 2.97981f, 0.0f, 0.0f, .134625f, 0.0f, 2.98962f, 0.0f, 2.54937f, .780757f, 0.0f, 0.0f, 0.0f,
};

static const float bottleneck_wider_dx[] = {
    -.549302f, -3.0615f, 2.05319f, -.186526f, -.972045f, -2.04578f, 1.85665f, -1.9506f, -2.27785f, .564892f,
    -1.63408f, -.371298f, -.571419f, -.185651f, -2.24414f, 1.16507f, -1.8195f, 2.43638f, -3.55026f, -.611337f,
    4.64235f, .772356f, -1.66948f, 3.41691f, -1.95379f, .499028f, 3.17333f, -.0259809f, -1.03175f, -2.66008f,
    -.686691f, -.721159f, .50609f, -1.3026f, -.644767f, .292223f, 3.36519f, -1.31882f, .366574f, 3.19247f,
    -2.89705f, .830284f, .543477f, 2.369f, 1.32614f, -1.28378f, 1.61321f, .467535f, -2.2244f, 1.39275f, -.791377f,
    2.23476f, .95585f, -.0104134f, -.532526f, 1.79101f, -1.60304f, -.908943f, .000153478f, -2.08511f, -.661833f,
    -2.46289f, .717012f, 1.6672f, -1.80319f, .084774f, .320616f, 2.58685f, .112924f, 3.18666f, -.21592f, 1.02394f,
};

static const float bottleneck_groups_0[] = {
    .13f, -.47f, .07f, -.17f, -.41f, .09f, -.03f, .19f, -.33f, -.55f, -.47f, .21f,
};

static const float bottleneck_groups_0d[] = {
    -2.08643f, -1.08964f, -3.44486f, -3.63178f, 2.24253f, 3.35732f, .137894f, -1.48701f, -.866154f, -1.50925f,
    .501712f, -2.82899f,
};

static const float bottleneck_groups_1[] = {
    .85f, 1.09f, .89f, 1.15f,
};

static const float bottleneck_groups_1d[] = {
    -.683919f, .19557f, -1.17862f, .929401f,
};

static const float bottleneck_groups_2[] = {
    .59f, .23f, .35f, .11f,
};

static const float bottleneck_groups_2d[] = {
    .123779f, 1.28348f, -.303253f, .784586f,
};

static const float bottleneck_groups_3[] = {
    -.49f, -.11f, -.19f, .03f, .55f, -.21f, -.33f, -.53f, -.35f, .43f, -.03f, -.29f, -.43f, .25f, .11f, -.05f,
    -.09f, -.09f, .03f, -.35f, -.53f, -.37f, -.23f, -.07f, .13f, -.19f, -.43f, -.31f, -.31f, .31f, -.03f, -.07f,
    -.53f, -.47f, .07f, -.51f, .01f, .13f, .43f, -.01f, .25f, .21f, .03f, -.19f, .15f, .47f, -.49f, .37f, -.23f,
    -.37f, .15f, -.27f, .25f, .05f, -.35f, -.25f, -.39f, .29f, .43f, .61f, .29f, -.11f, .13f, .55f, -.45f, .23f,
    -.39f, .09f, .59f, .09f, .51f, -.23f,
};

static const float bottleneck_groups_3d[] = {
    -.223321f, 1.32772f, -1.93997f, .136872f, -1.32387f, .655366f, .21265f, -.139464f, -1.44982f, -.194636f,
    2.8196f, -1.54914f, .353487f, -.72644f, .28556f, .152207f, -.257738f, -.269156f, .476669f, -1.24884f, .906438f,
    .153823f, .543483f, .687365f, .814579f, 1.01304f, .335276f, .415442f, -2.78192f, .282004f, .633605f, .814806f,
    .13337f, .909806f, 1.50962f, -.269465f, -.246581f, -.135979f, -2.00426f, 1.76339f, -.768231f, -.615649f,
    2.31357f, .725716f, -3.07455f, -.0962032f, -2.48256f, .00234391f, -.267704f, -2.16185f, 3.02131f, -.254875f,
    -3.17854f, -.206405f, .222467f, -.115912f, .184027f, .78393f, -.255428f, .616716f, .76084f, -.222738f,
    -.174527f, -.731323f, .28813f, .161131f, .0547472f, -.647679f, -.255006f, -.0505948f, .240167f, -.0499409f,
};

static const float bottleneck_groups_4[] = {
    .79f, .69f, .83f, .63f,
};

static const float bottleneck_groups_4d[] = {
    2.37702f, -1.06404f, .151193f, -.283888f,
};

static const float bottleneck_groups_5[] = {
    -.01f, .15f, .27f, .39f,
};

static const float bottleneck_groups_5d[] = {
    2.50796f, -3.06964f, .672228f, -2.01548f,
};

static const float bottleneck_groups_6[] = {
    -.23f, -.43f, -.57f, .45f, .33f, -.45f, -.19f, .37f, .37f, .13f, -.45f, -.49f, -.11f, -.25f, .19f, .33f,
};

static const float bottleneck_groups_6d[] = {
    -1.34787f, -.364247f, -.0582637f, -1.11062f, 5.44667f, 3.43623f, -2.05061f, -1.73137f, .0933723f, -.00559298f,
    .0758745f, -.000667327f, 2.62908f, -.783086f, -.429951f, .530826f,
};

static const float bottleneck_groups_7[] = {
    1.47f, 1.39f, .69f, .95f,
};

static const float bottleneck_groups_7d[] = {
    .51095f, .279868f, .135083f, .237669f,
};

static const float bottleneck_groups_8[] = {
    -.27f, .45f, -.29f, .55f,
};

static const float bottleneck_groups_8d[] = {
    .59f, -.26f, .16f, -.67f,
};

static const float bottleneck_groups_9[] = {
    -.45f, .05f, .55f, -.35f, -.15f, -.57f, -.13f, -.19f, -.05f, -.45f, .57f, .17f,
};

static const float bottleneck_groups_9d[] = {
    -.237874f, .285316f, -.220688f, 1.03183f, -.826425f, -.416266f, .283112f, -.160903f, -.127386f, 1.03723f,
    .767008f, .173656f,
};

static const float bottleneck_groups_10[] = {
    .99f, .67f, .53f, .75f,
};

static const float bottleneck_groups_10d[] = {
    -.146862f, .688884f, .102031f, -.370666f,
};

static const float bottleneck_groups_11[] = {
    .53f, .53f, -.31f, .05f,
};

static const float bottleneck_groups_11d[] = {
    .59f, -.26f, .16f, -.67f,
};

static const float bottleneck_groups_12[] = {
    .59f, .33f, -.01f, .11f,
};

static const float bottleneck_groups_12d[] = {
    .53205f, .298303f, -.0114387f, .101445f,
};

static const float bottleneck_groups_13[] = {
    1.43f, .83f, .55f, 1.05f,
};

static const float bottleneck_groups_13d[] = {
    1.28946f, .748793f, .496293f, .950695f,
};

static const float bottleneck_groups_14[] = {
    .37f, -.01f, -.09f, -.41f,
};

static const float bottleneck_groups_14d[] = {
    .276221f, -.214618f, -.0589681f, -.281762f,
};

static const float bottleneck_groups_15[] = {
    .63f, 1.25f, 1.17f, .93f,
};

static const float bottleneck_groups_15d[] = {
    .593842f, 1.20554f, 1.09013f, 1.08127f,
};

static const float bottleneck_groups_16[] = {
    -.41f, .35f, .15f, -.49f,
};

static const float bottleneck_groups_16d[] = {
    -.396905f, .321253f, .107942f, -.428397f,
};

static const float bottleneck_groups_17[] = {
    .57f, 1.17f, .91f, 1.23f,
};

static const float bottleneck_groups_17d[] = {
    .525465f, 1.0572f, .844873f, 1.11176f,
};

static const float bottleneck_groups_18[] = {
    -.17f, -.01f, -.01f, -.43f,
};

static const float bottleneck_groups_18d[] = {
    -.157638f, -.0060125f, -.0075575f, -.394158f,
};

static const float bottleneck_groups_19[] = {
    .65f, 1.45f, .89f, 1.01f,
};

static const float bottleneck_groups_19d[] = {
    .587399f, 1.31053f, .801452f, .917941f,
};

static const blocks_param bottleneck_groups_params[] = {
    { "conv1.weight", 12, bottleneck_groups_0, bottleneck_groups_0d },
    { "bn1.weight", 4, bottleneck_groups_1, bottleneck_groups_1d },
    { "bn1.bias", 4, bottleneck_groups_2, bottleneck_groups_2d },
    { "conv2.weight", 72, bottleneck_groups_3, bottleneck_groups_3d },
    { "bn2.weight", 4, bottleneck_groups_4, bottleneck_groups_4d },
    { "bn2.bias", 4, bottleneck_groups_5, bottleneck_groups_5d },
    { "conv3.weight", 16, bottleneck_groups_6, bottleneck_groups_6d },
    { "bn3.weight", 4, bottleneck_groups_7, bottleneck_groups_7d },
    { "bn3.bias", 4, bottleneck_groups_8, bottleneck_groups_8d },
    { "downsample.0.weight", 12, bottleneck_groups_9, bottleneck_groups_9d },
    { "downsample.1.weight", 4, bottleneck_groups_10, bottleneck_groups_10d },
    { "downsample.1.bias", 4, bottleneck_groups_11, bottleneck_groups_11d },
    { "bn1.running_mean", 4, bottleneck_groups_12, bottleneck_groups_12d },
    { "bn1.running_var", 4, bottleneck_groups_13, bottleneck_groups_13d },
    { "bn2.running_mean", 4, bottleneck_groups_14, bottleneck_groups_14d },
    { "bn2.running_var", 4, bottleneck_groups_15, bottleneck_groups_15d },
    { "bn3.running_mean", 4, bottleneck_groups_16, bottleneck_groups_16d },
    { "bn3.running_var", 4, bottleneck_groups_17, bottleneck_groups_17d },
    { "downsample.1.running_mean", 4, bottleneck_groups_18, bottleneck_groups_18d },
    { "downsample.1.running_var", 4, bottleneck_groups_19, bottleneck_groups_19d }
};

static const float bottleneck_groups_x[] = {
    -.19f, -.53f, .55f, .41f, -.23f, .15f, .33f, .15f, .45f, -.27f, -.01f, -.27f, -.17f, .05f, .39f, .23f, .55f,
    -.39f, -.39f, -.45f, .43f, -.53f, .13f, -.03f, -.53f, .33f, -.27f, .39f, .33f, -.35f, -.19f, -.23f, -.13f,
    -.05f, .03f, .11f, .61f, .11f, .15f, .17f, -.05f, .31f, .33f, .45f, .19f, -.31f, -.47f, -.19f, -.53f, .19f,
    .39f, -.41f, -.55f, .55f, .39f, .51f, -.25f, -.09f, -.15f, .11f, -.15f, -.51f, -.57f, -.19f, -.19f, -.05f,
    .07f, .05f, -.31f, .47f, .51f, -.13f, -.07f, .05f, .15f, -.15f, .33f, .01f, -.07f, .07f, -.31f, -.47f, .21f,
    -.07f, .59f, -.43f, .09f, .27f, -.43f, .55f, -.05f, .39f, .59f, .05f, -.43f, .31f,
};

static const float bottleneck_groups_g[] = {
    .05f, .31f, .41f, -.03f, -.53f, -.45f, .07f, -.51f, .49f, .57f, .09f, -.57f, .21f, .61f, -.55f, -.35f, .31f,
    -.19f, .31f, .45f, .41f, .27f, .53f, -.09f, .35f, .09f, .07f, .47f, -.43f, .49f, -.27f, -.59f,
};

static const float bottleneck_groups_y[] = {
    .660251f, .107633f, 0.0f, 3.77734f, 1.32095f, 0.0f, 2.51585f, 1.042f, 0.0f, 0.0f, .151967f, 0.0f, 3.80714f,
    0.0f, 0.0f, .553412f, 0.0f, .261902f, 0.0f, 1.90179f, 0.0f, 1.22105f, 2.52763f, .20163f, 0.0f, 0.0f, .53724f,
    0.0f, 2.04184f, .16552f, 0.0f, .445992f,
};

static const float bottleneck_groups_dx[] = {
    .0914875f, .607854f, -.661453f, .133266f, -.0406448f, 1.09025f, -.162008f, -.111631f, .187782f, -1.04424f,
    1.30001f, 1.53468f, .0804451f, .776095f, .0151429f, .23674f, 1.35801f, 1.349f, -.0894105f, .441901f, .110724f,
    .580844f, .953766f, 1.31744f, 1.95415f, -.917767f, .474015f, .61303f, .234785f, -.38599f, .29725f, .522209f,
    .364272f, -.54317f, .681398f, -.0214252f, .0404906f, -.258509f, -.615246f, -.851876f, -.992134f, .684696f,
    .218453f, .77513f, -.0549003f, .38289f, -.433466f, .110858f, -.159483f, .147222f, -.344897f, -1.68539f,
    -.41546f, -.0581912f, -.00476628f, -.404301f, -.984412f, -.868151f, -.533836f, .311814f, .594059f, -.0608385f,
    .0521225f, .380741f, -.754275f, -.207614f, 1.29919f, -.871006f, -1.90474f, -.442248f, -.321749f, -1.29775f,
    -4.52694f, -1.44096f, .0771554f, .708419f, .622544f, -1.27187f, .33315f, 1.18474f, .606981f, -.0511968f,
    -2.83889f, -1.00751f, .543465f, .856437f, .728177f, .330183f, .183745f, .388563f, 1.13819f, -.0701962f,
    -.18377f, .39077f, -.254188f, -.248216f,
};

static const float bottleneck_dilated_0[] = {
    -.29f, -.35f, -.27f,
};

static const float bottleneck_dilated_0d[] = {
    -5.59495f, 4.19437f, .574565f,
};

static const float bottleneck_dilated_1[] = {
    .69f,
};

static const float bottleneck_dilated_1d[] = {
    -3.50437f,
};

static const float bottleneck_dilated_2[] = {
    -.49f,
};

static const float bottleneck_dilated_2d[] = {
    -4.93452f,
};

static const float bottleneck_dilated_3[] = {
    -.45f, -.33f, -.39f, -.57f, -.25f, -.01f, -.21f, -.33f, -.45f,
};

static const float bottleneck_dilated_3d[] = {
    -.10018f, .450001f, 1.39273f, -.623876f, .0180414f, 1.41371f, -.478164f, -.333629f, -.22002f,
};

static const float bottleneck_dilated_4[] = {
    .61f,
};

static const float bottleneck_dilated_4d[] = {
    -.362137f,
};

static const float bottleneck_dilated_5[] = {
    .19f,
};

static const float bottleneck_dilated_5d[] = {
    3.43619f,
};

static const float bottleneck_dilated_6[] = {
    -.41f, -.53f, -.03f, .15f,
};

static const float bottleneck_dilated_6d[] = {
    -.00295559f, -.00726483f, -13.9808f, .0498981f,
};

static const float bottleneck_dilated_7[] = {
    .59f, 1.39f, 1.25f, 1.07f,
};

static const float bottleneck_dilated_7d[] = {
    1.85206f, 4.17211f, 1.95368f, .850336f,
};

static const float bottleneck_dilated_8[] = {
    .23f, .09f, .19f, -.57f,
};

static const float bottleneck_dilated_8d[] = {
    -.97f, 2.16f, 1.65f, 1.15f,
};

static const float bottleneck_dilated_9[] = {
    .47f, .53f, -.25f, .01f, -.43f, -.27f, -.21f, -.17f, .45f, .21f, .21f, -.31f,
};

static const float bottleneck_dilated_9d[] = {
    1.12014f, -2.16454f, -2.48165f, -2.44062f, .486466f, -.866217f, -.295234f, -.983877f, -.511292f, 4.03663f,
    -8.87704f, -3.28422f,
};

static const float bottleneck_dilated_10[] = {
    1.07f, .85f, 1.09f, 1.23f,
};

static const float bottleneck_dilated_10d[] = {
    -1.66841f, 1.37574f, -1.538f, 1.84073f,
};

static const float bottleneck_dilated_11[] = {
    .25f, -.47f, .45f, -.23f,
};

static const float bottleneck_dilated_11d[] = {
    -.97f, 2.16f, 1.65f, 1.15f,
};

static const float bottleneck_dilated_12[] = {
    .37f,
};

static const float bottleneck_dilated_12d[] = {
    .338011f,
};

static const float bottleneck_dilated_13[] = {
    1.35f,
};

static const float bottleneck_dilated_13d[] = {
    1.21899f,
};

static const float bottleneck_dilated_14[] = {
    -.55f,
};

static const float bottleneck_dilated_14d[] = {
    -.503982f,
};

static const float bottleneck_dilated_15[] = {
    .73f,
};

static const float bottleneck_dilated_15d[] = {
    .659276f,
};

static const float bottleneck_dilated_16[] = {
    .17f, .03f, .29f, -.55f,
};

static const float bottleneck_dilated_16d[] = {
    .137333f, .00674745f, .259854f, -.489268f,
};

static const float bottleneck_dilated_17[] = {
    .67f, .61f, .59f, .71f,
};

static const float bottleneck_dilated_17d[] = {
    .60393f, .550554f, .531005f, .639124f,
};

static const float bottleneck_dilated_18[] = {
    -.19f, .11f, .57f, .55f,
};

static const float bottleneck_dilated_18d[] = {
    -.170708f, .102618f, .508688f, .497571f,
};

static const float bottleneck_dilated_19[] = {
    1.43f, 1.37f, .51f, .99f,
};

static const float bottleneck_dilated_19d[] = {
    1.29263f, 1.23713f, .461101f, .892439f,
};

static const blocks_param bottleneck_dilated_params[] = {
    { "conv1.weight", 3, bottleneck_dilated_0, bottleneck_dilated_0d },
    { "bn1.weight", 1, bottleneck_dilated_1, bottleneck_dilated_1d },
    { "bn1.bias", 1, bottleneck_dilated_2, bottleneck_dilated_2d },
    { "conv2.weight", 9, bottleneck_dilated_3, bottleneck_dilated_3d },
    { "bn2.weight", 1, bottleneck_dilated_4, bottleneck_dilated_4d },
    { "bn2.bias", 1, bottleneck_dilated_5, bottleneck_dilated_5d },
    { "conv3.weight", 4, bottleneck_dilated_6, bottleneck_dilated_6d },
    { "bn3.weight", 4, bottleneck_dilated_7, bottleneck_dilated_7d },
    { "bn3.bias", 4, bottleneck_dilated_8, bottleneck_dilated_8d },
    { "downsample.0.weight", 12, bottleneck_dilated_9, bottleneck_dilated_9d },
    { "downsample.1.weight", 4, bottleneck_dilated_10, bottleneck_dilated_10d },
    { "downsample.1.bias", 4, bottleneck_dilated_11, bottleneck_dilated_11d },
    { "bn1.running_mean", 1, bottleneck_dilated_12, bottleneck_dilated_12d },
    { "bn1.running_var", 1, bottleneck_dilated_13, bottleneck_dilated_13d },
    { "bn2.running_mean", 1, bottleneck_dilated_14, bottleneck_dilated_14d },
    { "bn2.running_var", 1, bottleneck_dilated_15, bottleneck_dilated_15d },
    { "bn3.running_mean", 4, bottleneck_dilated_16, bottleneck_dilated_16d },
    { "bn3.running_var", 4, bottleneck_dilated_17, bottleneck_dilated_17d },
    { "downsample.1.running_mean", 4, bottleneck_dilated_18, bottleneck_dilated_18d },
    { "downsample.1.running_var", 4, bottleneck_dilated_19, bottleneck_dilated_19d }
};

static const float bottleneck_dilated_x[] = {
    .39f, .33f, -.17f, -.25f, .11f, .25f, -.17f, .43f, -.19f, -.15f, -.41f, .25f, .45f, -.09f, -.29f, -.47f, .53f,
    -.53f, -.19f, .59f, .15f, -.13f, .01f, -.41f, .11f, -.51f, .43f, .61f, .27f, -.17f, .23f, .21f, -.29f, -.35f,
    -.55f, -.33f, -.39f, -.03f, -.17f, .47f, .09f, .35f, -.19f, .43f, .47f, .19f, .43f, -.23f, .11f, -.03f, -.43f,
    -.51f, -.47f, .25f, .27f, -.27f, -.49f, .53f, -.27f, .09f, -.29f, -.51f, .13f, .31f, .59f, -.17f, -.53f, -.11f,
    -.13f, -.45f, .41f, .49f, .09f, -.45f, .51f, -.57f, -.55f, .07f, -.57f, -.11f, .03f, -.13f, -.29f, -.01f,
    -.21f, -.15f, .17f, -.55f, -.53f, -.35f, .03f, -.15f, -.43f, -.23f, -.41f, -.59f,
};

static const float bottleneck_dilated_g[] = {
    .15f, -.35f, .09f, -.19f, -.13f, -.01f, .31f, -.13f, .01f, .29f, .21f, -.49f, -.43f, .25f, .47f, -.35f, -.41f,
    .33f, .07f, -.57f, -.07f, .55f, .15f, .49f, .03f, .45f, -.51f, .33f, .37f, -.45f, .39f, -.41f, .49f, -.45f,
    .11f, .13f, -.29f, -.23f, .39f, .53f, -.03f, -.27f, -.01f, .45f, .19f, -.41f, -.41f, .55f, .33f, -.01f, -.39f,
    -.41f, .53f, .29f, .11f, -.05f, -.49f, .31f, -.39f, -.51f, .49f, -.31f, .55f, -.45f, -.27f, .09f, .03f, .51f,
    -.41f, -.23f, .11f, -.55f, .07f, -.09f, .11f, .41f, -.13f, .37f, .53f, .23f, .57f, -.53f, .23f, -.03f, .53f,
    -.59f, .01f, .41f, .19f, -.11f, .37f, -.35f, .53f, .21f, .55f, -.29f, .37f, .03f, .59f, -.09f, -.37f, -.53f,
    -.37f, -.47f, .59f, -.37f, .11f, -.47f, .13f, .41f, .57f, -.23f, -.29f, -.49f, .25f, -.49f, -.17f, -.15f,
    -.31f, .23f, .45f, .61f, .37f, .53f, .57f, -.53f, .39f, .09f,
};

static const float bottleneck_dilated_y[] = {
    2.50157f, 0.0f, .502278f, 1.28808f, 1.06367f, .273202f, 0.0f, 0.0f, .837346f, 0.0f, 1.2971f, 1.54271f,
    1.10214f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .986017f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .605063f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .047891f, 0.0f, 0.0f, 0.0f, 0.0f, 1.5586f, 2.62848f, 2.2063f, 1.28704f,
    .385406f, .64357f, 1.11865f, 1.74497f, 0.0f, 2.64516f, .438693f, 0.0f, 1.55517f, 1.57392f, .105417f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, .238727f, 0.0f, 0.0f, 0.0f, 0.0f, 2.49741f, .0857411f, 0.0f, 0.0f, .353276f, 0.0f,
    2.82177f, 1.25419f, 1.21061f, .474393f, 2.06244f, 0.0f, 0.0f, 0.0f, .805757f, 1.09206f, 0.0f, 0.0f, 3.04248f,
    0.0f, 2.21845f, 0.0f, .827802f, 0.0f, 2.18277f, 0.0f, .782778f, .142821f, 3.24551f, 0.0f, 3.27695f, 0.0f,
    .894407f, .690047f, 3.22841f, 1.58983f, 3.04816f, 0.0f, 2.46614f, 0.0f, 1.6947f, 0.0f, 2.72125f, .607099f,
    2.54863f, .0371139f, 1.96967f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 2.00301f, 0.0f, 1.03511f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, 2.08841f,
};

static const float bottleneck_dilated_dx[] = {
    1.23135f, -.203566f, 3.24863f, -1.28332f, .852121f, .577773f, -.124069f, -.864492f, .00556441f, .209345f,
    .41086f, -2.63024f, -1.01824f, .541531f, .644911f, -.150334f, 1.32354f, -.0289215f, 4.01437f, -1.31866f,
    .903616f, .68474f, -.0432552f, -.574958f, -.000584899f, .245407f, .487402f, -2.62507f, -1.02916f, .505203f,
    .541894f, -.103661f, -1.33584f, -.165296f, 3.15242f, 1.36195f, -1.74167f, -1.04619f, -.186261f, 1.78746f,
    -.285007f, -1.06164f, -.461736f, 3.76928f, 1.16571f, -1.53715f, -1.48944f, -.218049f, -1.00755f, .00711132f,
    -1.82383f, -.0941716f, -1.39587f, -.153598f, 1.00117f, -.723462f, -1.4627f, 1.04064f, .11091f, 5.20454f,
    -1.31387f, -.864623f, -.584182f, .611671f, -.95204f, .147312f, -2.03942f, -.0495553f, -2.7069f, -.00106125f,
    .938142f, -.836883f, -1.63656f, 1.19026f, -.507947f, 6.84737f, -2.26858f, -.678165f, -1.23849f, .810616f,
    1.50792f, -.175919f, 1.018f, -.518712f, -2.4617f, -.166625f, -1.45204f, -.340379f, 1.03533f, -2.03338f,
    -.297773f, 2.96907f, -1.1542f, 1.17554f, -.0503571f, -.763316f,
};

static const float preactivation_0[] = {
    -.23f, .03f, .55f, -.31f, -.09f, .11f, -.11f, .23f, .37f, .35f, .43f, -.25f, .51f, .57f, .21f, -.25f, .49f,
    -.55f, .59f, -.35f, .49f, .19f, .05f, -.15f, .21f, -.17f, .07f, -.59f, .55f, .29f, .55f, -.51f, .29f, .61f,
    .51f, -.55f, .51f, .43f, .19f, -.57f, -.17f, .47f, -.17f, .15f, -.05f, .27f, -.57f, -.33f, .07f, .29f, -.45f,
    -.47f, .25f, .03f, .23f, .51f, -.35f, -.15f, .57f, -.19f, .19f, -.23f, .35f, .59f, .15f, -.31f, -.21f, -.43f,
    .39f, -.19f, .59f, .23f, -.11f, -.57f, -.03f, -.45f, -.25f, -.15f, -.25f, .53f, -.01f,
};

static const float preactivation_0d[] = {
    1.88585f, -.14101f, -.759369f, .606411f, 2.77188f, -.691096f, -.545204f, -.683977f, -2.21583f, 1.96886f,
    1.53352f, -.523403f, 2.18096f, .590579f, -.781766f, .416023f, -.335911f, 1.02138f, 1.39758f, -.63318f,
    -1.42078f, 1.57571f, .561743f, .975832f, -.553102f, -.136082f, -1.22167f, .33774f, -.188817f, .387311f,
    -.0761832f, .432918f, .0371273f, 1.26985f, .158405f, -.389732f, .934406f, .539424f, .0321153f, .140971f,
    .919561f, -.549934f, .472957f, -.783513f, -.309824f, .229278f, .621441f, .581627f, -.137576f, -.688345f,
    .116758f, .509744f, 1.2556f, .25592f, 2.54179f, 3.83709f, .68701f, -.448221f, 1.31696f, -.961785f, -2.82232f,
    -.859187f, -1.55216f, 3.33124f, 1.37514f, -.0398492f, -.979653f, .339668f, -1.05419f, -.0503338f, .00753093f,
    .849545f, 3.67778f, 2.80415f, .541611f, .456389f, 1.67879f, 2.03346f, -.906337f, -3.29232f, -.57958f,
};

static const float preactivation_1[] = {
    1.45f, 1.45f, 1.51f,
};

static const float preactivation_1d[] = {
    .529476f, 2.91724f, -2.48482f,
};

static const float preactivation_2[] = {
    .11f, -.27f, .61f,
};

static const float preactivation_2d[] = {
    -.0652843f, .804553f, -1.67412f,
};

static const float preactivation_3[] = {
    -.25f, .51f, -.01f, -.23f, -.25f, -.41f, -.35f, .23f, -.09f, .43f, -.45f, -.09f, -.41f, -.57f, .27f, .27f,
    .41f, -.55f, .39f, .21f, .33f, -.49f, .33f, -.03f, -.39f, .19f, .11f, .03f, -.07f, .25f, -.01f, .35f, .45f,
    -.19f, .15f, .55f, -.51f, .29f, .15f, -.27f, .03f, .29f, -.59f, .23f, .07f, .31f, .13f, .41f, .57f, .25f, .33f,
    -.53f, -.01f, .47f, -.39f, -.07f, -.39f, .19f, .25f, -.01f, .55f, .25f, -.09f, .41f, -.13f, -.37f, -.53f,
    -.17f, -.15f, .31f, -.53f, .21f, -.55f, -.05f, .07f, .11f, -.37f, .41f, -.33f, .25f, -.01f,
};

static const float preactivation_3d[] = {
    .907689f, -.843693f, .269821f, -1.15898f, 2.04504f, -.461161f, 1.78585f, 2.18274f, 1.62375f, 1.45429f,
    -.0671229f, .268985f, -.164885f, -.0246178f, .247864f, .901698f, .347954f, .290144f, .504788f, .621184f,
    -.0728345f, 1.66973f, 1.90264f, -.563287f, -.913565f, 2.61404f, 1.39323f, -.052055f, -.122809f, -.727056f,
    -.0887654f, .292492f, 2.0216f, -2.61706f, .620454f, 1.04782f, .984469f, .485904f, -.52205f, .0572725f,
    .565098f, -.447953f, -.227944f, -.785154f, .368679f, 1.65009f, 2.72f, -.389581f, -.204421f, 2.28842f, .807592f,
    -3.19856f, .765458f, -.793478f, .122767f, .165877f, -.266927f, -1.41702f, -.872996f, -1.21903f, 1.35001f,
    1.84756f, .589504f, -.370794f, -.0762995f, -.731672f, .462721f, -.283768f, -.521289f, -.150218f, .846072f,
    -.10018f, .50949f, -.187059f, -1.21781f, .0925694f, -1.41955f, -.244137f, 2.95692f, -1.35403f, 1.48804f,
};

static const float preactivation_4[] = {
    1.33f, .79f, 1.47f,
};

static const float preactivation_4d[] = {
    1.26984f, .0163256f, 1.73282f,
};

static const float preactivation_5[] = {
    .13f, -.15f, .21f,
};

static const float preactivation_5d[] = {
    .3996f, .6724f, .3858f,
};

static const float preactivation_6[] = {
    -.21f, -.29f, -.01f,
};

static const float preactivation_6d[] = {
    -.199437f, -.258875f, -.00675f,
};

static const float preactivation_7[] = {
    1.43f, 1.09f, .93f,
};

static const float preactivation_7d[] = {
    1.29536f, .995851f, .850961f,
};

static const float preactivation_8[] = {
    .29f, .41f, -.55f,
};

static const float preactivation_8d[] = {
    .413341f, .401002f, -.514459f,
};

static const float preactivation_9[] = {
    .63f, .83f, 1.11f,
};

static const float preactivation_9d[] = {
    .720528f, 1.12398f, 1.16053f,
};

static const blocks_param preactivation_params[] = {
    { "conv1.weight", 81, preactivation_0, preactivation_0d },
    { "bn1.weight", 3, preactivation_1, preactivation_1d },
    { "bn1.bias", 3, preactivation_2, preactivation_2d },
    { "conv2.weight", 81, preactivation_3, preactivation_3d },
    { "bn2.weight", 3, preactivation_4, preactivation_4d },
    { "bn2.bias", 3, preactivation_5, preactivation_5d },
    { "bn1.running_mean", 3, preactivation_6, preactivation_6d },
    { "bn1.running_var", 3, preactivation_7, preactivation_7d },
    { "bn2.running_mean", 3, preactivation_8, preactivation_8d },
    { "bn2.running_var", 3, preactivation_9, preactivation_9d }
};

static const float preactivation_x[] = {
    .07f, -.51f, -.17f, -.55f, -.15f, -.05f, .11f, .19f, -.27f, .31f, -.31f, -.43f, -.29f, -.01f, .13f, -.31f,
    .57f, -.49f, .55f, -.25f, -.57f, .05f, .11f, -.01f, -.55f, .13f, .03f, .41f, .29f, -.33f, -.05f, -.41f, .47f,
    -.53f, .01f, .49f, .31f, .41f, -.11f, -.03f, -.41f, -.07f, .29f, -.15f, .51f, .13f, -.53f, .35f, -.49f, -.49f,
    .03f, .25f, .19f, .07f, .09f, .11f, .09f, .61f, -.31f, -.45f, -.21f, -.35f, -.39f, .15f, -.37f, .49f, -.07f,
    -.19f, .59f, .55f, -.45f, .15f, .59f, -.57f, -.15f, -.25f, .09f, -.11f, .35f, .55f, .07f, -.35f, -.43f, .45f,
    .23f, -.15f, -.57f, -.53f, .39f, .43f, .53f, .07f, .31f, .05f, -.57f, -.35f,
};

static const float preactivation_g[] = {
    .07f, .19f, .31f, -.11f, .07f, -.05f, -.31f, .51f, .61f, -.37f, .09f, -.09f, -.43f, .03f, .19f, .31f, -.01f,
    .35f, -.27f, -.57f, -.27f, -.15f, -.49f, .27f, .03f, -.27f, .21f, .61f, -.13f, -.51f, .53f, .11f, .01f, .41f,
    -.39f, .57f, -.33f, .15f, .19f, -.07f, -.27f, -.19f, -.31f, .11f, .49f, .11f, .27f, -.59f, .21f, .45f, .43f,
    -.55f, .35f, .05f, -.35f, -.11f, -.47f, -.01f, .09f, .55f, .13f, .33f, -.55f, .35f, .59f, -.37f, -.11f, .11f,
    .19f, .37f, -.41f, -.27f, .23f, -.43f, -.19f, .45f, .13f, .49f, .31f, -.11f, -.35f, .27f, .29f, .35f, .11f,
    -.19f, -.17f, -.29f, .09f, -.07f, .47f, .53f, -.09f, -.57f, -.39f, .47f,
};

static const float preactivation_y[] = {
    -.668688f, -.265118f, -.461368f, -1.07712f, -.0507967f, -1.69809f, .823005f, -.189404f, -.0128155f, .39831f,
    -1.51245f, .0419201f, -.475573f, -.0721356f, .71425f, -.198478f, 2.11195f, 1.56069f, .641261f, -1.00822f,
    .894074f, 1.90217f, 1.81997f, -.15762f, .642825f, 2.3717f, 1.13939f, .901196f, .805728f, .68409f, 1.09428f,
    -.826325f, .478208f, -.640317f, 1.67457f, .480989f, .155317f, .250142f, -1.45921f, .827226f, -1.79223f,
    -.0801356f, 1.21294f, -2.17389f, .535637f, -1.29709f, -.794993f, .178079f, .522251f, -4.01515f, .436745f,
    -1.12638f, .783967f, -1.31664f, -1.61426f, -1.65881f, 1.16501f, 3.95912f, -2.16663f, .184585f, -.822269f,
    .638141f, -1.91971f, .44925f, 2.73736f, 3.51384f, .00289005f, -2.23446f, 6.29098f, 6.59205f, .318748f,
    1.05604f, 5.06795f, 3.66848f, 1.22273f, .907062f, 3.58001f, 1.26574f, 3.14713f, .936035f, -.0726692f, .202488f,
    2.605f, .418783f, -1.67911f, 1.59051f, -1.64116f, -.461527f, .00557039f, -2.08774f, -.012479f, -2.24971f,
    1.00371f, -.17676f, -2.27119f, -.086191f,
};

static const float preactivation_dx[] = {
    .840077f, .320475f, .339819f, .0323173f, .0938986f, 3.90917f, -7.82516f, .259354f, .669424f, -.689321f,
    .161266f, .0167917f, -.364655f, .310987f, -2.61538f, .381266f, .320695f, .723581f, -2.14562f, -.416909f,
    .177078f, -.272523f, -2.08351f, .2026f, .458704f, -3.96073f, .105852f, -.77588f, .505345f, -.283412f, .499348f,
    .410084f, 2.24395f, .145835f, -.01309f, .186219f, -.0937739f, -2.30948f, 1.29078f, -2.13818f, -.430136f,
    2.25304f, -1.73235f, .17526f, .145975f, -.361717f, .00583493f, .343335f, .334554f, .574554f, 1.36567f,
    -2.78451f, -.778833f, 3.59143f, -.0591065f, .34387f, -1.85324f, 4.27486f, .161266f, .662713f, .171661f,
    .413108f, -.45505f, .116727f, .853336f, -.430057f, -.122277f, .207968f, 2.32511f, 1.89697f, -.0731671f,
    -2.73984f, 1.89673f, .0170782f, -.12878f, .603091f, -.029271f, .514471f, 2.19933f, -.0353995f, 1.41211f,
    .161878f, .112526f, 1.52224f, 2.89695f, -.12474f, -.468841f, -.554165f, .0920869f, -3.82169f, .973758f,
    -.37159f, -.949594f, .354543f, -.688841f, .361878f,
};

static const float preactivation_bottleneck_0[] = {
    -.07f, -.27f, .31f, -.15f, -.53f, -.53f, .47f, .19f,
};

static const float preactivation_bottleneck_0d[] = {
    .349539f, -.286282f, -.113466f, .117618f, -.0988123f, .000808526f, -.062747f, -.118186f,
};

static const float preactivation_bottleneck_1[] = {
    .63f, 1.19f, .69f, .53f,
};

static const float preactivation_bottleneck_1d[] = {
    .286626f, .187766f, -1.19816f, -.311839f,
};

static const float preactivation_bottleneck_2[] = {
    -.33f, .47f, .17f, -.17f,
};

static const float preactivation_bottleneck_2d[] = {
    .240189f, -.239718f, -1.24453f, -.307626f,
};

static const float preactivation_bottleneck_3[] = {
    -.25f, -.49f, .35f, .27f, .21f, -.49f, .57f, .03f, .25f, -.21f, -.09f, -.31f, .15f, .23f, .45f, .53f, -.23f,
    .51f, .25f, .27f, -.03f, .15f, -.53f, .39f, .53f, .55f, -.03f, .03f, -.07f, .61f, .45f, .61f, .17f, .13f, .33f,
    -.27f,
};

static const float preactivation_bottleneck_3d[] = {
    -.307169f, -.074229f, -.0609476f, -.0680735f, -.588148f, -.676231f, -.472947f, -.572053f, .565429f, -.191867f,
    -.0366036f, -.0947231f, -.00713871f, -.602725f, -.502702f, -.282741f, -.530718f, .362422f, .0333938f,
    .0196254f, -.254925f, .0757991f, .0670511f, .159516f, .0230311f, -.0851017f, -.058409f, .0271534f, .00967765f,
    -.187989f, .0362717f, .0879041f, .107343f, .00700867f, -.0254891f, -.0272269f,
};

static const float preactivation_bottleneck_4[] = {
    1.37f, 1.35f,
};

static const float preactivation_bottleneck_4d[] = {
    .0643232f, -.0968594f,
};

static const float preactivation_bottleneck_5[] = {
    .53f, .13f,
};

static const float preactivation_bottleneck_5d[] = {
    .140151f, -.243447f,
};

static const float preactivation_bottleneck_6[] = {
    .49f, -.39f, -.03f, -.41f, -.37f, -.17f, .55f, -.35f, .43f, -.51f,
};

static const float preactivation_bottleneck_6d[] = {
    -.0342241f, .257161f, .272565f, .868707f, .813506f, .815774f, -.0672343f, -.0697893f, -.106414f, -.598804f,
};

static const float preactivation_bottleneck_7[] = {
    .87f, .59f,
};

static const float preactivation_bottleneck_7d[] = {
    -.429301f, -.505203f,
};

static const float preactivation_bottleneck_8[] = {
    .11f, .51f,
};

static const float preactivation_bottleneck_8d[] = {
    -.3199f, .0642f,
};

static const float preactivation_bottleneck_9[] = {
    .33f, -.13f, .05f, -.37f, .19f, -.45f, -.33f, -.01f, .57f, -.49f, .35f, .39f, .25f, .19f, -.51f, -.19f, .05f,
    -.13f, -.23f, -.09f,
};

static const float preactivation_bottleneck_9d[] = {
    .296913f, .722672f, -.667156f, .342524f, -.262016f, .357149f, 1.71329f, .251492f, .0613221f, -.74237f,
    -.841954f, .0876087f, -.0403919f, -.328391f, .310133f, .0458776f, .00711158f, .0984359f, -.33896f, -.343529f,
};

static const float preactivation_bottleneck_10[] = {
    .59f, -.49f, -.39f, .23f,
};

static const float preactivation_bottleneck_10d[] = {
    .533187f, -.438313f, -.350375f, .206375f,
};

static const float preactivation_bottleneck_11[] = {
    .81f, .85f, 1.51f, 1.19f,
};

static const float preactivation_bottleneck_11d[] = {
    .742014f, .774014f, 1.37305f, 1.08522f,
};

static const float preactivation_bottleneck_12[] = {
    .41f, .57f,
};

static const float preactivation_bottleneck_12d[] = {
    .356871f, .485204f,
};

static const float preactivation_bottleneck_13[] = {
    .83f, .77f,
};

static const float preactivation_bottleneck_13d[] = {
    .75514f, .723199f,
};

static const float preactivation_bottleneck_14[] = {
    -.23f, -.09f,
};

static const float preactivation_bottleneck_14d[] = {
    -.0736167f, .0608988f,
};

static const float preactivation_bottleneck_15[] = {
    1.43f, .77f,
};

static const float preactivation_bottleneck_15d[] = {
    1.37647f, 1.01328f,
};

static const blocks_param preactivation_bottleneck_params[] = {
    { "conv1.weight", 8, preactivation_bottleneck_0, preactivation_bottleneck_0d },
    { "bn1.weight", 4, preactivation_bottleneck_1, preactivation_bottleneck_1d },
    { "bn1.bias", 4, preactivation_bottleneck_2, preactivation_bottleneck_2d },
    { "conv2.weight", 36, preactivation_bottleneck_3, preactivation_bottleneck_3d },
    { "bn2.weight", 2, preactivation_bottleneck_4, preactivation_bottleneck_4d },
    { "bn2.bias", 2, preactivation_bottleneck_5, preactivation_bottleneck_5d },
    { "conv3.weight", 10, preactivation_bottleneck_6, preactivation_bottleneck_6d },
    { "bn3.weight", 2, preactivation_bottleneck_7, preactivation_bottleneck_7d },
    { "bn3.bias", 2, preactivation_bottleneck_8, preactivation_bottleneck_8d },
    { "downsample.0.weight", 20, preactivation_bottleneck_9, preactivation_bottleneck_9d },
    { "bn1.running_mean", 4, preactivation_bottleneck_10, preactivation_bottleneck_10d },
    { "bn1.running_var", 4, preactivation_bottleneck_11, preactivation_bottleneck_11d },
    { "bn2.running_mean", 2, preactivation_bottleneck_12, preactivation_bottleneck_12d },
    { "bn2.running_var", 2, preactivation_bottleneck_13, preactivation_bottleneck_13d },
    { "bn3.running_mean", 2, preactivation_bottleneck_14, preactivation_bottleneck_14d },
    { "bn3.running_var", 2, preactivation_bottleneck_15, preactivation_bottleneck_15d }
};

static const float preactivation_bottleneck_x[] = {
    -.15f, -.37f, -.51f, .03f, -.57f, .07f, .51f, -.23f, .43f, -.37f, -.19f, .49f, .59f, -.35f, -.43f, .29f, -.51f,
    .21f, .19f, -.41f, .35f, .01f, .31f, -.09f, .13f, .37f, -.03f, -.13f, .39f, .05f, -.31f, .53f, .49f, .59f,
    -.09f, .03f, -.39f, -.23f, -.15f, -.13f, -.19f, -.07f, .43f, .41f, .07f, .51f, .47f, .09f, -.45f, -.29f, -.55f,
    .25f, .07f, -.45f, .23f, -.49f, .49f, -.45f, .49f, .37f, -.17f, -.17f, .31f, -.49f, .21f, -.19f, .41f, -.39f,
    .39f, .13f, .35f, -.03f, -.27f, -.17f, -.13f, .57f, -.11f, .57f, .35f, -.23f, -.09f, -.03f, -.53f, .03f, .27f,
    -.35f, -.29f, .25f, .23f, .07f, -.23f, .01f, .29f, -.45f, .03f, .59f, .43f, -.53f, -.35f, -.43f, -.05f, .27f,
    -.57f, -.37f, .61f, -.45f, .07f, .37f, .45f, -.37f, -.39f, -.33f, -.59f, .25f, -.31f, -.23f, .47f, -.27f, .13f,
    .19f, .09f, .15f, .17f, .61f, .17f, .41f, .43f, -.57f,
};

static const float preactivation_bottleneck_g[] = {
    -.57f, -.07f, .53f, .15f, -.09f, -.19f, -.17f, .59f, -.55f, -.03f, -.29f, .53f, .03f, -.29f, .05f, -.03f, .03f,
    .13f, -.19f, -.41f, -.43f, .25f, .23f, -.29f, .59f, -.55f, .45f, .31f, -.03f, .49f, -.45f, -.51f, .23f, -.17f,
    -.03f, .43f, -.13f, .23f, .17f, -.25f,
};

static const float preactivation_bottleneck_y[] = {
    -.00518448f, -.164017f, -.128496f, -.595004f, -.416594f, -.714636f, -.332281f, -1.20548f, .350464f, -.762268f,
    -.041223f, -.115344f, -.600977f, .236625f, .227021f, -.848806f, -.324231f, -.242535f, -.0948907f, -.972235f,
    .560193f, .351225f, -.231126f, -.262182f, -.34818f, -.307069f, -1.14353f, -.355333f, -.0466936f, -.357844f,
    -.232464f, .0256496f, .0834432f, .424055f, -.53331f, -.384177f, .227087f, .0827344f, -.634468f, -.396131f,
};

static const float preactivation_bottleneck_dx[] = {
    -.00562483f, .00422158f, .0104875f, -.013681f, .0131729f, -.0154712f, -.0411259f, -.00204432f, -.0788075f,
    .00422158f, -.00383458f, .148391f, -.0427665f, .00332645f, .00690697f, -.0297997f, .073087f, -.297327f,
    .152595f, .0650921f, -.00681727f, -.286345f, .000630852f, .0395085f, .745424f, -.00803084f, -1.38813f,
    .0427065f, -.000860615f, .0914237f, .0570972f, -.0160039f, -.22682f, .321248f, .054467f, .179398f, -.00247192f,
    .0278955f, .0430792f, .0468752f, .0354874f, .061582f, .0820975f, .237128f, .0844866f, .0965663f, .245687f,
    .0903859f, -.00290696f, .00309012f, -.00665514f, -.0314193f, .0165836f, -.00290696f, .0263593f, -.00440623f,
    -.388954f, -.00290696f, .319034f, -.164243f, .00758794f, .00758794f, .0939807f, -.00440623f, .0235809f,
    -.00383458f, .30608f, .00511671f, -.039496f, -.0181566f, -.0528959f, -.0109956f, -.00025406f, -.0047297f,
    -.00651996f, -.0127772f, -.00741509f, -.0305362f, -.102694f, -.00204432f, .0395085f, -.0807723f, .0746859f,
    .0108358f, -.00389967f, .0602952f, .0554983f, -.0023081f, -.136888f, .340435f, .0507013f, -.0608358f, .499173f,
    .06829f, -.158126f, -.0206431f, -.478491f, -.0290434f, .00511994f, -.0100638f, .0668716f, .216397f, -.0366353f,
    .00132401f, -.377896f, -.0138597f, -.847708f, .204268f, -.0851434f, .00132401f, -.00247192f, .00891586f,
    -.00815441f, -.00907157f, .00234049f, .00533903f, .0366705f, .00383976f, -.0232546f, .027213f, .0173332f,
    .0940012f, -.163273f, -.0167401f, .0655468f, .0643237f, .0458727f, -.00740478f,
};

static const float residual_squeeze_0[] = {
    .61f, -.37f, .57f, -.15f, -.31f, .35f, -.35f, .05f, -.07f, -.47f, .27f, -.37f, .35f, -.27f, .59f, .37f, .45f,
    -.45f, -.19f, -.43f, -.53f, -.41f, .25f, -.35f, .07f, .05f, .25f, -.35f, .19f, -.05f, .51f, -.49f, -.57f,
    -.55f, .23f, -.47f, .25f, -.51f, .17f, .55f, .21f, -.47f, .03f, -.53f, .23f, -.07f, .45f, .59f, .33f, .01f,
    .59f, -.11f, .19f, .35f, .05f, .43f, .59f, .53f, -.23f, .43f, -.25f, .11f, -.09f, .03f, .51f, .37f, -.03f,
    -.15f, .47f, -.41f, .47f, -.21f, .35f, .15f, -.01f, -.01f, .05f, .27f, .23f, .43f, .15f,
};

static const float residual_squeeze_0d[] = {
    -.025279f, .140418f, -.142274f, -.0981055f, -.307388f, .120887f, .0352011f, -.0224121f, -.0231203f, .0369728f,
    .0198741f, .271742f, .120989f, -.152638f, -.0672893f, -.209516f, -.196107f, .0108854f, -.132133f, -.124784f,
    .0547478f, -.275468f, -.0504662f, -.331556f, .521846f, -.165755f, -.188069f, -.128744f, .052607f, -.0328885f,
    -.0470093f, .189065f, -.141961f, -.214417f, .124153f, -.0079927f, -.0820218f, -.103754f, -.171217f, .0356385f,
    -.122927f, .163238f, -.118765f, .081392f, -.060683f, .0963783f, -.00607777f, .0476551f, .0898562f, -.233026f,
    -.0742679f, -.0754253f, -.0604034f, -.0854718f, .270546f, -.565534f, .371365f, .416697f, -.224846f, .204769f,
    .204391f, -.160326f, .0616592f, -.106997f, .105848f, .0360746f, .11835f, -.377657f, .421545f, .26731f,
    -.482049f, .700591f, -.488184f, .0270804f, -.210496f, -.228272f, .04562f, .219559f, .155641f, -.078076f,
    -.0613697f,
};

static const float residual_squeeze_1[] = {
    1.13f, 1.17f, .73f,
};

static const float residual_squeeze_1d[] = {
    -.0414708f, -.128232f, .227028f,
};

static const float residual_squeeze_2[] = {
    -.01f, -.17f, .45f,
};

static const float residual_squeeze_2d[] = {
    .212586f, -.111543f, .0318228f,
};

static const float residual_squeeze_3[] = {
    .25f, .03f, -.57f, .35f, .25f, -.17f, -.11f, -.25f, -.47f, -.23f, -.07f, -.29f, -.47f, .05f, -.59f, .51f,
    -.41f, .33f, -.39f, -.49f, -.01f, .21f, -.11f, -.13f, -.13f, -.47f, -.23f, .23f, .31f, -.11f, .21f, -.33f,
    .37f, -.49f, .07f, .41f, .07f, -.29f, -.01f, -.11f, .35f, .17f, .55f, .51f, .29f, -.03f, .53f, -.29f, -.41f,
    .59f, -.47f, .25f, .09f, .45f, -.29f, -.25f, .45f, -.49f, -.39f, -.23f, .45f, -.53f, .23f, -.57f, .01f, -.07f,
    .51f, -.23f, .39f, .17f, .37f, -.11f, -.17f, -.15f, -.23f, -.37f, .11f, .01f, .15f, -.29f, .19f,
};

static const float residual_squeeze_3d[] = {
    .259924f, .150223f, .440361f, .209825f, .0511091f, -.259375f, .166182f, -.280942f, -.0463714f, .0416906f,
    .0954347f, .047742f, -.24899f, -.459573f, .195221f, .243046f, .307694f, .165499f, -.0229675f, .0276285f,
    .08328f, .118864f, .165405f, .0135043f, .0308348f, .0249047f, .0330014f, .0139943f, .104687f, -.16803f,
    -.00589505f, .392848f, -.0349741f, .127079f, .0456687f, .0425773f, -.0683506f, .114991f, -.261277f, -.126833f,
    -.422323f, -.361855f, .278813f, .116927f, .0310867f, -.0404065f, -.216189f, .117741f, -.196804f, .101235f,
    -.360251f, -.138491f, .0652943f, .0148653f, .131206f, -.0353577f, -.222393f, .134489f, -.291644f, .154535f,
    .184716f, -.0353964f, .325461f, -.198979f, .191712f, .07346f, -.120011f, -.116434f, -.0485386f, -.529849f,
    -.275796f, -.108615f, -.284952f, -.296364f, .204737f, .0913024f, -.218749f, -.0894569f, -.287276f, -.252855f,
    .243608f,
};

static const float residual_squeeze_4[] = {
    .53f, .85f, .57f,
};

static const float residual_squeeze_4d[] = {
    .345976f, -2.20475f, .798762f,
};

static const float residual_squeeze_5[] = {
    .59f, -.29f, .09f,
};

static const float residual_squeeze_5d[] = {
    1.64313f, -2.13459f, .591863f,
};

static const float residual_squeeze_6[] = {
    -.13f, -.51f, .09f, .37f, -.43f, -.25f,
};

static const float residual_squeeze_6d[] = {
    .266038f, -.146217f, .042579f, 0.0f, 0.0f, 0.0f,
};

static const float residual_squeeze_7[] = {
    .39f, -.57f,
};

static const float residual_squeeze_7d[] = {
    .408103f, 0.0f,
};

static const float residual_squeeze_8[] = {
    .47f, -.17f, -.03f, -.25f, .45f, -.07f,
};

static const float residual_squeeze_8d[] = {
    .327734f, 0.0f, -.182655f, 0.0f, .0965849f, 0.0f,
};

static const float residual_squeeze_9[] = {
    -.31f, .49f, -.05f,
};

static const float residual_squeeze_9d[] = {
    .610584f, -.508479f, .235276f,
};

static const float residual_squeeze_10[] = {
    .27f, .35f, .43f,
};

static const float residual_squeeze_10d[] = {
    .231193f, .348237f, .388464f,
};

static const float residual_squeeze_11[] = {
    1.49f, 1.13f, 1.45f,
};

static const float residual_squeeze_11d[] = {
    1.364f, 1.05168f, 1.32006f,
};

static const float residual_squeeze_12[] = {
    .13f, .49f, .29f,
};

static const float residual_squeeze_12d[] = {
    -.00177965f, .544974f, .19542f,
};

static const float residual_squeeze_13[] = {
    .59f, .85f, .99f,
};

static const float residual_squeeze_13d[] = {
    .69108f, .912274f, .985567f,
};

static const blocks_param residual_squeeze_params[] = {
    { "conv1.weight", 81, residual_squeeze_0, residual_squeeze_0d },
    { "bn1.weight", 3, residual_squeeze_1, residual_squeeze_1d },
    { "bn1.bias", 3, residual_squeeze_2, residual_squeeze_2d },
    { "conv2.weight", 81, residual_squeeze_3, residual_squeeze_3d },
    { "bn2.weight", 3, residual_squeeze_4, residual_squeeze_4d },
    { "bn2.bias", 3, residual_squeeze_5, residual_squeeze_5d },
    { "se.fc1.weight", 6, residual_squeeze_6, residual_squeeze_6d },
    { "se.fc1.bias", 2, residual_squeeze_7, residual_squeeze_7d },
    { "se.fc2.weight", 6, residual_squeeze_8, residual_squeeze_8d },
    { "se.fc2.bias", 3, residual_squeeze_9, residual_squeeze_9d },
    { "bn1.running_mean", 3, residual_squeeze_10, residual_squeeze_10d },
    { "bn1.running_var", 3, residual_squeeze_11, residual_squeeze_11d },
    { "bn2.running_mean", 3, residual_squeeze_12, residual_squeeze_12d },
    { "bn2.running_var", 3, residual_squeeze_13, residual_squeeze_13d }
};

static const float residual_squeeze_x[] = {
    .17f, -.39f, .39f, -.43f, .01f, -.45f, .11f, -.13f, .55f, .01f, -.15f, -.15f, -.15f, -.53f, -.23f, -.15f, .17f,
    -.31f, .23f, .39f, -.09f, .39f, .09f, -.55f, .51f, .07f, .53f, -.55f, -.19f, -.37f, .51f, -.41f, -.33f, .45f,
    .19f, -.15f, -.29f, .55f, .47f, .45f, .39f, .43f, .59f, -.25f, .51f, .19f, -.15f, .45f, -.23f, -.55f, -.35f,
    -.11f, .45f, -.53f, .43f, .29f, .19f, -.03f, .11f, -.59f, .13f, -.29f, .55f, -.33f, .49f, .13f, .53f, .21f,
    -.13f, -.39f, -.35f, -.41f, -.19f, .03f, .11f, -.31f, -.01f, .17f, -.45f, -.01f, .03f, -.57f, -.07f, -.47f,
    .05f, .15f, -.53f, .29f, .57f, .03f, -.05f, -.15f, -.55f, .15f, .37f, .19f,
};

static const float residual_squeeze_g[] = {
    -.25f, -.25f, .57f, -.15f, .49f, .03f, .51f, .29f, .43f, -.01f, -.37f, -.53f, -.31f, .45f, .25f, .33f, -.53f,
    .13f, .45f, -.41f, -.15f, -.27f, -.55f, -.43f, -.53f, -.03f, -.57f, -.35f, -.37f, -.25f, -.45f, .27f, -.57f,
    -.01f, -.43f, -.55f, .27f, -.19f, -.23f, -.35f, .05f, -.11f, .13f, .53f, .21f, -.03f, -.01f, -.29f, .15f,
    -.43f, -.05f, .43f, -.03f, -.33f, .33f, .13f, -.35f, -.05f, .03f, .09f, .59f, .45f, .23f, .29f, .25f, -.25f,
    -.53f, -.03f, -.59f, -.45f, .13f, .25f, .07f, .17f, -.07f, -.37f, -.39f, -.23f, .19f, .41f, .13f, -.27f, -.29f,
    .37f, .29f, .15f, .33f, -.15f, .41f, .05f, .43f, .13f, -.31f, .09f, .61f, -.19f,
};

static const float residual_squeeze_y[] = {
    .38092f, 0.0f, .850947f, .0830006f, .0107095f, 0.0f, .393919f, .448965f, .282367f, 0.0f, 0.0f, .126506f,
    .112519f, 0.0f, 0.0f, .213584f, .15342f, 0.0f, 0.0f, .334786f, 0.0f, 1.38329f, 1.7043f, 0.0f, .645359f,
    .426727f, .737478f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .684036f, 0.0f, 0.0f, .294564f, .32839f, .257075f,
    .441645f, .921203f, .530832f, 1.09476f, 0.0f, .560434f, .189526f, 0.0f, .311659f, .302112f, 0.0f, .277587f,
    .552771f, .633825f, 0.0f, .697463f, 1.02246f, .398694f, .144371f, .687031f, 0.0f, .257848f, .11221f, 1.21248f,
    .044422f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .188477f, 0.0f, 0.0f,
    .202473f, 0.0f, 0.0f, 0.0f, .52039f, 0.0f, .205142f, .316403f, .7107f, 0.0f, 0.0f, .315947f, .03604f,
    .0506112f, .0393604f, 0.0f,
};

static const float residual_squeeze_dx[] = {
    -.0101782f, -.106758f, .544052f, -.0272744f, .323153f, -.134133f, 1.04827f, -.183558f, .761011f, -.491658f,
    .0185197f, -.707362f, -.457333f, .322796f, -.237572f, .331429f, -.693491f, .261779f, -.137757f, -.321578f,
    -.170756f, -.29033f, -.412245f, -.226162f, -.611164f, .0441198f, -.728425f, .00240006f, -.264166f, .38635f,
    -.34153f, .0849575f, .182024f, -.0677203f, .0309791f, -.0303995f, .30853f, -.0948229f, -.225169f, -.373127f,
    -.0441293f, -.284242f, .250965f, .0187886f, .168549f, -.142495f, -.0978512f, -.312713f, .299678f, -.130331f,
    .0621539f, .488267f, -.251235f, -.124025f, .457088f, -.0128691f, -.336365f, .148171f, -.282644f, -.107087f,
    .590156f, .16913f, .28999f, .220992f, -.09764f, .128011f, -.101764f, .106986f, .244472f, -.0351499f, .0333225f,
    .0339666f, -.173821f, .363265f, -.1085f, -.135312f, -.025129f, -.541717f, .167532f, .189053f, .0724245f,
    -.107846f, -.0857664f, -.0505489f, .270093f, .230028f, .450475f, -.125907f, .681398f, .180612f, .0710889f,
    .393453f, -.349768f, .214456f, .608185f, .0582451f,
};

static const float squeeze_excite_0[] = {
    -.19f, .57f, .57f, -.21f, -.35f, .55f, -.33f, -.37f, -.23f, .35f, .05f, .01f,
};

static const float squeeze_excite_0d[] = {
    -.00424094f, .0129355f, -.00859364f, .00551648f, 0.0f, 0.0f, 0.0f, 0.0f, -.00174967f, -.0273322f, .0273713f,
    -.00954337f,
};

static const float squeeze_excite_1[] = {
    .13f, -.11f, .19f,
};

static const float squeeze_excite_1d[] = {
    -.0418026f, 0.0f, .13793f,
};

static const float squeeze_excite_2[] = {
    .21f, .21f, -.53f, -.35f, -.03f, .25f, .03f, .29f, .59f, -.01f, -.01f, -.05f,
};

static const float squeeze_excite_2d[] = {
    -.0060137f, 0.0f, -.00561504f, .00828625f, 0.0f, .00686826f, .0244917f, 0.0f, .0222239f, -.0116166f, 0.0f,
    -.0102176f,
};

static const float squeeze_excite_3[] = {
    -.41f, -.47f, .09f, .03f,
};

static const float squeeze_excite_3d[] = {
    -.0204373f, .123466f, .153912f, -.108484f,
};

static const blocks_param squeeze_excite_params[] = {
    { "fc1.weight", 12, squeeze_excite_0, squeeze_excite_0d },
    { "fc1.bias", 3, squeeze_excite_1, squeeze_excite_1d },
    { "fc2.weight", 12, squeeze_excite_2, squeeze_excite_2d },
    { "fc2.bias", 4, squeeze_excite_3, squeeze_excite_3d }
};

static const float squeeze_excite_x[] = {
    .33f, -.45f, .35f, .03f, .61f, -.47f, -.23f, -.19f, .61f, -.17f, -.55f, -.53f, -.21f, .07f, -.25f, -.51f,
    -.57f, .25f, -.39f, -.15f, .57f, .35f, .51f, .09f, .05f, .35f, .45f, .43f, .05f, .05f, -.17f, -.45f, -.43f,
    .15f, -.51f, -.13f, .05f, -.25f, .25f, .15f, -.27f, -.43f, -.31f, -.15f, -.05f, -.53f, -.07f, -.57f, .05f,
    .23f, -.51f, .21f, -.25f, .53f, .39f, .03f, -.31f, .55f, .07f, .33f, .49f, .29f, -.11f, .33f, -.43f, -.45f,
    .13f, .31f, .07f, -.57f, .31f, .17f,
};

static const float squeeze_excite_g[] = {
    .11f, -.51f, -.03f, -.29f, -.49f, -.53f, .19f, .27f, -.05f, -.25f, -.47f, -.31f, .39f, .59f, -.59f, .51f,
    -.49f, .39f, .37f, -.35f, .07f, -.33f, .25f, -.25f, -.33f, .59f, .33f, .43f, .25f, -.15f, -.55f, .49f, .47f,
    .23f, .55f, .17f, .51f, .51f, .01f, -.59f, .43f, -.25f, -.15f, .15f, -.29f, -.15f, .45f, -.01f, -.31f, .23f,
    -.25f, -.49f, .47f, -.31f, .21f, -.23f, -.11f, .49f, .49f, -.29f, .19f, -.23f, -.01f, .29f, .05f, -.01f, .17f,
    .05f, .19f, .25f, -.05f, .01f,
};

static const float squeeze_excite_y[] = {
    .129631f, -.176769f, .137487f, .0117846f, .239621f, -.184626f, -.0903487f, -.0746359f, .239621f, -.0648535f,
    -.20982f, -.20219f, -.0801131f, .0267044f, -.0953728f, -.19456f, -.21745f, .0953728f, -.209102f, -.0804237f,
    .30561f, .187655f, .273441f, .0482542f, .0268079f, .187655f, .241271f, .217644f, .0253075f, .0253075f,
    -.0860454f, -.227767f, -.217644f, .0759224f, -.258136f, -.0657994f, .0192625f, -.0963127f, .0963127f,
    .0577876f, -.104018f, -.165658f, -.119428f, -.0577876f, -.0192625f, -.200753f, -.0265146f, -.215905f, .018939f,
    .0871194f, -.193178f, .0795438f, -.094695f, .200753f, .215229f, .0165561f, -.171079f, .303528f, .0386308f,
    .182117f, .270416f, .160042f, -.0607055f, .166521f, -.216983f, -.227075f, .0655994f, .156429f, .0353227f,
    -.287628f, .156429f, .0857838f,
};

static const float squeeze_excite_dx[] = {
    .0422974f, -.201251f, -.0126975f, -.114831f, -.193395f, -.209108f, .073723f, .105149f, -.0205539f, -.0955516f,
    -.17948f, -.118441f, .148603f, .224901f, -.225258f, .194382f, -.187109f, .148603f, .195625f, -.190408f,
    .034778f, -.179685f, .131286f, -.136793f, -.179685f, .31358f, .174179f, .218902f, .127795f, -.0746643f,
    -.277124f, .249271f, .239148f, .117673f, .27964f, .0873035f, .194748f, .194748f, .002123f, -.229027f, .163928f,
    -.0980422f, -.0595171f, .0560581f, -.113452f, -.0539218f, .173346f, -.000892533f, -.114527f, .0900147f,
    -.0917998f, -.182707f, .180922f, -.114527f, .116764f, -.126058f, -.0598337f, .271287f, .271287f, -.15917f,
    .105727f, -.126058f, -.00464687f, .146208f, .025101f, -.0051756f, .0856543f, .025101f, .0957465f, .126023f,
    -.02536f, .00491661f,
};

static const float inception_0[] = {
    -.17f, -.19f, .17f, .41f, .41f, -.21f,
};

static const float inception_0d[] = {
    .0132f, .236f, .18f, .079f, .7982f, -.4298f,
};

static const float inception_1[] = {
    -.05f, -.03f,
};

static const float inception_1d[] = {
    -.08f, 2.02f,
};

static const float inception_2[] = {
    .05f, -.39f, -.27f,
};

static const float inception_2d[] = {
    .231507f, -.188373f, -.250599f,
};

static const float inception_3[] = {
    -.15f,
};

static const float inception_3d[] = {
    .4383f,
};

static const float inception_4[] = {
    -.15f, -.21f, -.21f, -.13f, -.03f, .39f, -.35f, -.37f, -.23f, -.05f, -.37f, .57f, -.07f, -.31f, -.51f, .09f,
    -.19f, -.57f, .23f, .51f, .05f, .35f, .41f, -.11f, .51f, -.39f, -.05f,
};

static const float inception_4d[] = {
    0.0f, 0.0f, 0.0f, 0.0f, -.030473f, .220624f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
};

static const float inception_5[] = {
    -.05f, -.53f, -.39f,
};

static const float inception_5d[] = {
    1.1f, 0.0f, 0.0f,
};

static const float inception_6[] = {
    -.15f, .05f, -.25f, -.43f, .45f, .43f,
};

static const float inception_6d[] = {
    .400074f, -1.34983f, 1.57619f, -.2454f, -.646742f, -.556756f,
};

static const float inception_7[] = {
    .57f, .09f,
};

static const float inception_7d[] = {
    -1.385f, -1.0044f,
};

static const float inception_8[] = {
    -.21f, .53f, .05f, .33f, .29f, .31f, .17f, -.45f, -.01f, .11f, .19f, -.49f, .25f, .07f, -.41f, .59f, -.13f,
    .51f, -.27f, .27f, .57f, -.01f, .29f, -.41f, .09f, .57f, -.39f, .29f, .23f, .49f, .13f, -.17f, .49f, -.39f,
    .27f, .27f, -.55f, .11f, -.17f, -.53f, .25f, -.09f, -.27f, .39f, .25f, .61f, .59f, -.03f, .55f, -.25f, -.07f,
    -.19f, .53f, -.37f, -.05f, -.17f, -.45f, -.21f, .31f, .57f, .05f, -.25f, -.59f, .15f, .47f, -.17f, .43f, .09f,
    .43f, -.43f, -.23f, -.37f, -.39f, -.35f, -.55f, .15f, .19f, -.05f, -.25f, .29f, .39f, .31f, .05f, -.15f, .17f,
    -.23f, .51f, -.09f, -.27f, .15f, -.31f, .23f, .25f, -.27f, .39f, -.43f, .11f, -.07f, -.59f, .59f,
};

static const float inception_8d[] = {
    -.59751f, -.53293f, -.294935f, .061375f, -.136395f, -.33656f, -.15224f, -.05457f, .15694f, .03601f, -.72403f,
    -.45173f, -.562815f, .086085f, .121035f, -.56065f, -.62344f, -.97519f, -.00265999f, .16071f, .0899f, .04942f,
    -.03398f, .24301f, .09615f, -.02512f, -.364385f, -.313746f, -.015418f, .026383f, -.274305f, -.425483f,
    -.512201f, -.000312996f, -.062287f, .219998f, -.111857f, -.573766f, -.162928f, .158801f, -.807454f, -.759182f,
    -.579936f, -.367608f, -.055627f, -.035228f, .10762f, .221681f, .136665f, .073639f, -.257995f, -.7773f,
    -.62106f, -.49108f, -.535475f, -.367645f, -.64362f, -.46072f, -.59074f, -.733835f, -.402865f, -.64412f,
    -.51435f, -.69744f, -.678555f, -.194085f, -.215215f, -.196405f, -.198015f, -.19977f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, -.226612f, -.406987f, -.15109f, -.181801f, -.00442399f, -.185811f, -.131307f, .042072f, .138847f,
    .143468f, .035575f, -.218198f, -.303195f, -.103305f, .040438f, -.005602f, -.206904f, -.145228f, .00898501f,
    .05175f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
};

static const float inception_9[] = {
    -.17f, .05f,
};

static const float inception_9d[] = {
    -1.05f, -1.06f,
};

static const float inception_10[] = {
    .37f, .53f, -.13f,
};

static const float inception_10d[] = {
    1.0788f, 1.5034f, .8994f,
};

static const float inception_11[] = {
    -.07f,
};

static const float inception_11d[] = {
    3.1f,
};

static const blocks_param inception_params[] = {
    { "branch1.conv.weight", 6, inception_0, inception_0d },
    { "branch1.conv.bias", 2, inception_1, inception_1d },
    { "branch2.0.conv.weight", 3, inception_2, inception_2d },
    { "branch2.0.conv.bias", 1, inception_3, inception_3d },
    { "branch2.1.conv.weight", 27, inception_4, inception_4d },
    { "branch2.1.conv.bias", 3, inception_5, inception_5d },
    { "branch3.0.conv.weight", 6, inception_6, inception_6d },
    { "branch3.0.conv.bias", 2, inception_7, inception_7d },
    { "branch3.1.conv.weight", 100, inception_8, inception_8d },
    { "branch3.1.conv.bias", 2, inception_9, inception_9d },
    { "branch4.1.conv.weight", 3, inception_10, inception_10d },
    { "branch4.1.conv.bias", 1, inception_11, inception_11d }
};

static const float inception_x[] = {
    .57f, .05f, .51f, -.17f, .25f, -.25f, -.25f, -.57f, -.25f, -.19f, .09f, .37f, .39f, .29f, .59f, -.03f, -.01f,
    -.53f, -.07f, .11f, .11f, -.51f, .39f, .53f, .45f, .33f, .53f, -.31f, -.57f, .01f, .13f, -.25f, .25f, -.09f,
    -.43f, -.15f, .03f, .41f, .39f, .45f, .57f, -.55f, -.55f, .35f, .05f, .37f, .17f, .39f, .59f, .35f, -.47f,
    -.29f, .17f, -.37f, -.51f, -.43f, .55f, -.11f, .01f, -.17f, -.43f, .41f, .55f, .53f, .57f, .19f, -.17f, .33f,
    .25f, .13f, -.05f, -.01f, -.01f, .09f, .19f, .15f, .49f, -.09f, -.05f, .09f, -.15f, .39f, -.45f, .55f, .17f,
    -.07f, -.43f, .47f, -.51f, .11f, -.47f, -.57f, -.11f, .37f, .47f, .25f, .07f, .17f, .33f, .61f, .03f, -.29f,
    -.57f, .11f, .61f, .53f, .25f, -.23f, -.35f, -.07f, -.25f, -.41f, -.31f, -.47f, .11f, .01f, .53f, .07f, -.13f,
    -.05f,
};

static const float inception_g[] = {
    .57f, .23f, .43f, .49f, .41f, -.35f, -.41f, -.21f, -.19f, -.53f, .53f, .41f, -.01f, .43f, -.07f, -.31f, .59f,
    .21f, .21f, -.15f, -.07f, .57f, .19f, .41f, -.01f, .53f, .29f, .25f, .33f, -.41f, .39f, .05f, .43f, -.11f,
    .53f, .07f, .13f, -.35f, -.17f, .29f, .41f, -.55f, -.59f, -.19f, .33f, -.49f, -.15f, .41f, .21f, -.03f, -.53f,
    .59f, .51f, .53f, -.47f, -.01f, .21f, .51f, .55f, .49f, .59f, .17f, -.45f, .35f, -.57f, .17f, .43f, .15f, .03f,
    .09f, -.55f, .49f, -.01f, -.39f, .27f, .53f, -.25f, -.31f, -.21f, .01f, -.51f, .13f, -.07f, .33f, .49f, .43f,
    .01f, -.55f, -.57f, -.03f, -.41f, .59f, -.31f, .29f, .07f, .35f, .13f, .25f, .03f, .37f, .03f, -.43f, -.35f,
    -.37f, -.43f, -.35f, -.33f, .27f, .07f, -.27f, -.31f, -.09f, -.31f, -.29f, -.37f, .37f, .17f, -.33f, .11f,
    -.01f, .13f, .13f, -.49f, -.01f, -.39f, .39f, -.41f, .33f, .15f, -.41f, .31f, .33f, -.35f, -.07f, -.17f, .29f,
    -.27f, -.51f, -.13f, .17f, -.47f, .47f, .25f, -.55f, .09f, -.05f, -.09f, -.01f, -.01f, -.29f, -.05f, .17f,
    -.29f, .11f, -.57f, -.01f, -.47f, .27f, .59f, -.19f, .51f, -.13f, .51f, .05f, -.19f, -.01f, .33f, .55f, .27f,
    -.01f, -.57f, .57f, -.27f, -.51f, -.41f, .41f, .25f, .23f, -.57f, -.43f, .53f, .27f, -.55f, -.17f, -.55f,
    -.31f, -.33f, .19f, -.27f, -.35f, .25f, .45f, -.57f, .25f, -.17f, -.01f, .49f, .53f, .47f, -.07f, .53f, .47f,
    -.17f, -.09f, -.05f, .39f, -.39f, -.23f, -.37f, -.03f, -.31f, -.55f, -.15f, -.39f, .17f, -.29f, .61f, -.59f,
    -.29f, .09f, -.01f, -.17f, .39f, .49f, -.01f, -.31f, .45f, .33f, -.47f, .59f, .01f, -.45f, -.19f, .53f, -.09f,
    -.11f, -.51f, .31f, -.29f, .35f, -.55f, -.07f, -.05f, -.35f, .45f, -.01f, -.03f, .23f, -.13f, .21f, .27f, .21f,
    -.45f, -.09f, -.03f, .55f, .43f, -.03f, -.17f, -.01f, -.21f, -.25f, .31f, .31f, -.01f, -.29f, -.13f, .33f,
    .03f, .25f, .07f, .15f, .51f, -.27f, -.47f, -.55f, .47f, -.07f, .47f, -.03f, -.57f, .07f, .27f, -.03f, -.17f,
    .09f, .21f, .41f, .09f, .45f, -.27f, -.51f, .13f, .07f, .53f, -.17f, -.49f, .25f, .45f, -.35f, .35f, .29f,
    -.17f, .49f, .31f, -.21f, .61f, -.35f, .31f, -.31f, .01f, .41f, -.41f, .21f, .51f, .13f, .49f, .45f, .55f,
    .53f,
};

static const float inception_y[] = {
    0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .1721f, .2011f, .0399f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .0395f,
    0.0f, 0.0f, 0.0f, .1291f, 0.0f, .4545f, .0441f, .2465f, 0.0f, .0491f, 0.0f, 0.0f, 0.0f, .1589f, .0801f, .1967f,
    .1297f, .1427f, 0.0f, 0.0f, 0.0f, .0991f, .2353f, .027961f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, .022111f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .101722f, 0.0f,
    .371904f, .690119f, .560817f, .039445f, 0.0f, .370347f, 1.13404f, 1.48333f, .879211f, .414908f, 1.52201f,
    .839073f, .689929f, .034213f, 0.0f, .548485f, .203019f, .170856f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, 0.0f, .296479f, .74726f, .584713f, .138709f, 0.0f, .337029f, 0.0f, .231663f, 0.0f, 0.0f, .3477f,
    .3477f, .3229f, .3229f, .2267f, .3477f, .3477f, .3229f, .3525f, .3525f, .2763f, .2837f, .2785f, .3101f, .3101f,
    .0643f, .2201f, .2201f, .3647f, .3855f, .0567f, 0.0f, 0.0f, 0.0f, 0.0f, .0211f, .1031f, 0.0f, 0.0f, 0.0f,
    .0053f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .3589f, .1307f, .3897f, .1453f, 0.0f, 0.0f,
    .3463f, 0.0f, .0831f, 0.0f, 0.0f, 0.0f, .2573f, .2175f, .1319f, .0883f, 0.0f, .1121f, .2675f, 0.0f, .030691f,
    0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .018226f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .388454f, .673911f, .811927f, 0.0f, 0.0f, .789408f, .999561f, 1.24057f,
    .614587f, .233106f, .945316f, .568169f, .494669f, 0.0f, 0.0f, .32799f, .054627f, .237898f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .626607f, .605562f, .383586f, 0.0f, 0.0f, .452367f, .247136f,
    .06626f, 0.0f, 0.0f, .2195f, .3137f, .3925f, .3531f, .3531f, .2195f, .3137f, .3925f, .3531f, .3531f, .1749f,
    .2915f, .2915f, .3611f, .3315f, .1749f, .1749f, .2385f, .3093f, .3093f,
};

static const float inception_dx[] = {
    .072662f, -.006375f, .076135f, .049994f, .15628f, .195728f, .203034f, .025938f, -.161114f, .50528f, .28413f,
    -.026165f, .23893f, -.060145f, .18031f, .03216f, -.00986601f, .241194f, -.155732f, .221998f, -.22217f,
    -.057571f, .040255f, .04279f, -.13708f, -.19668f, -.09991f, .05631f, .19941f, -.2795f, .11319f, .028655f,
    -.07157f, -.040085f, .108062f, -.01072f, -.25933f, -.31437f, .07318f, .00655f, -.244342f, -.067123f, .148325f,
    .131806f, -.12494f, -.165248f, -.019634f, -.00277801f, .180014f, -.30228f, .12515f, -.051275f, -.56647f,
    -.001975f, -.023984f, .0536f, -.175074f, -.076514f, .344032f, -.061758f, -.234506f, .142265f, -.102705f,
    -.054854f, .06331f, -.112134f, -.096238f, .128998f, .233265f, -.29694f, -.037275f, -.034395f, -.0099f,
    .050236f, .46879f, .029746f, .399662f, .113226f, .041216f, -.105786f, .04903f, .191645f, -.287997f, .05713f,
    -.20133f, .05021f, .03213f, .57769f, -.014855f, -.02458f, .149553f, .056601f, .0033f, .46462f, -.21137f,
    .24501f, .40419f, -.07445f, .3612f, .98709f, .201786f, -.090425f, .021059f, -.00170601f, .08093f, -.342466f,
    .361358f, -.032178f, .074275f, .07118f, -.323811f, -.014607f, -.0165f, .257484f, -.32343f, -.216346f,
    -.013622f, .051454f, .090064f, .021186f,
};

static const float inception_norm_0[] = {
    -.07f, .53f, .25f, .21f, .37f, .05f,
};

static const float inception_norm_0d[] = {
    3.55607f, .183616f, .703294f, -.332999f, .124806f, .686259f,
};

static const float inception_norm_1[] = {
    1.23f, .51f,
};

static const float inception_norm_1d[] = {
    .956089f, .460463f,
};

static const float inception_norm_2[] = {
    .41f, -.07f,
};

static const float inception_norm_2d[] = {
    -.14f, .65f,
};

static const float inception_norm_3[] = {
    .19f, .51f, .11f, .59f, -.51f, -.03f,
};

static const float inception_norm_3d[] = {
    4.43184f, -2.75522f, 5.00775f, -.685566f, -.837703f, .606515f,
};

static const float inception_norm_4[] = {
    1.03f, 1.27f,
};

static const float inception_norm_4d[] = {
    -.449155f, .316503f,
};

static const float inception_norm_5[] = {
    -.05f, .09f,
};

static const float inception_norm_5d[] = {
    -1.02188f, .0768649f,
};

static const float inception_norm_6[] = {
    -.43f, -.19f, -.05f, .45f, -.53f, -.43f, .39f, -.33f, .61f, -.27f, .55f, .51f, -.03f, -.15f, -.11f, -.33f,
    -.29f, -.35f, .19f, -.37f, .53f, -.43f, .25f, .35f, -.33f, .25f, -.55f, .21f, .01f, -.51f, .11f, .19f, .21f,
    .25f, -.07f, -.31f,
};

static const float inception_norm_6d[] = {
    -.783027f, 2.33318f, -.476683f, .282126f, -.222393f, 1.02445f, .0708852f, -.663484f, .651164f, .109735f,
    -2.06432f, -.0273025f, .593732f, .949746f, .183033f, -1.50146f, -.263485f, -1.19886f, -.794719f, .0193365f,
    -1.31228f, -.519533f, 1.39659f, -.820823f, .571114f, -.604972f, -.238595f, -.135779f, -2.39608f, .108456f,
    .486349f, 2.63299f, -.616859f, -1.5752f, -.321643f, -2.68247f,
};

static const float inception_norm_7[] = {
    1.01f, 1.49f,
};

static const float inception_norm_7d[] = {
    -1.52426f, -.0941536f,
};

static const float inception_norm_8[] = {
    .51f, .55f,
};

static const float inception_norm_8d[] = {
    -8.19564e-8f, .95f,
};

static const float inception_norm_9[] = {
    -.49f, -.29f, -.37f,
};

static const float inception_norm_9d[] = {
    6.11281f, -4.00855f, -4.89248f,
};

static const float inception_norm_10[] = {
    .89f,
};

static const float inception_norm_10d[] = {
    -1.16914f,
};

static const float inception_norm_11[] = {
    -.43f,
};

static const float inception_norm_11d[] = {
    -2.5252f,
};

static const float inception_norm_12[] = {
    -.41f, -.07f, -.23f, -.35f, -.19f, .13f, -.45f, .09f, .33f, .45f, -.17f, -.29f, -.05f, .59f, .41f, .05f, .23f,
    .17f,
};

static const float inception_norm_12d[] = {
    -.257163f, .125625f, .0723691f, -.114705f, -.131847f, -.221658f, -.140439f, -.359288f, -.506456f, .300199f,
    1.01378f, .693325f, -1.20373f, -1.75599f, 2.79941f, .0204419f, .869632f, -.408516f,
};

static const float inception_norm_13[] = {
    .55f, 1.43f,
};

static const float inception_norm_13d[] = {
    -.602539f, 2.07016f,
};

static const float inception_norm_14[] = {
    -.21f, .21f,
};

static const float inception_norm_14d[] = {
    -.15f, .63f,
};

static const float inception_norm_15[] = {
    -.31f, -.19f, -.07f, .55f, .53f, -.51f,
};

static const float inception_norm_15d[] = {
    -2.08239f, 6.64385f, 6.0571f, -.102607f, .407761f, .218724f,
};

static const float inception_norm_16[] = {
    1.39f, .55f,
};

static const float inception_norm_16d[] = {
    -1.15353f, .768547f,
};

static const float inception_norm_17[] = {
    .37f, -.03f,
};

static const float inception_norm_17d[] = {
    -2.12f, .13f,
};

static const float inception_norm_18[] = {
    .61f, -.55f,
};

static const float inception_norm_18d[] = {
    .547737f, -.492887f,
};

static const float inception_norm_19[] = {
    .75f, .71f,
};

static const float inception_norm_19d[] = {
    .679963f, .641216f,
};

static const float inception_norm_20[] = {
    -.43f, .19f,
};

static const float inception_norm_20d[] = {
    -.385233f, .177955f,
};

static const float inception_norm_21[] = {
    .67f, 1.23f,
};

static const float inception_norm_21d[] = {
    .606833f, 1.11612f,
};

static const float inception_norm_22[] = {
    .29f, .41f,
};

static const float inception_norm_22d[] = {
    .211332f, .385474f,
};

static const float inception_norm_23[] = {
    .69f, .91f,
};

static const float inception_norm_23d[] = {
    .685236f, .90919f,
};

static const float inception_norm_24[] = {
    .53f,
};

static const float inception_norm_24d[] = {
    .471903f,
};

static const float inception_norm_25[] = {
    1.25f,
};

static const float inception_norm_25d[] = {
    1.1297f,
};

static const float inception_norm_26[] = {
    .47f, -.29f,
};

static const float inception_norm_26d[] = {
    .413294f, -.246902f,
};

static const float inception_norm_27[] = {
    1.41f, .53f,
};

static const float inception_norm_27d[] = {
    1.27063f, .481635f,
};

static const float inception_norm_28[] = {
    -.55f, -.17f,
};

static const float inception_norm_28d[] = {
    -.524184f, -.116039f,
};

static const float inception_norm_29[] = {
    1.15f, .69f,
};

static const float inception_norm_29d[] = {
    1.03506f, .621812f,
};

static const blocks_param inception_norm_params[] = {
    { "branch1.conv.weight", 6, inception_norm_0, inception_norm_0d },
    { "branch1.bn.weight", 2, inception_norm_1, inception_norm_1d },
    { "branch1.bn.bias", 2, inception_norm_2, inception_norm_2d },
    { "branch2.0.conv.weight", 6, inception_norm_3, inception_norm_3d },
    { "branch2.0.bn.weight", 2, inception_norm_4, inception_norm_4d },
    { "branch2.0.bn.bias", 2, inception_norm_5, inception_norm_5d },
    { "branch2.1.conv.weight", 36, inception_norm_6, inception_norm_6d },
    { "branch2.1.bn.weight", 2, inception_norm_7, inception_norm_7d },
    { "branch2.1.bn.bias", 2, inception_norm_8, inception_norm_8d },
    { "branch3.0.conv.weight", 3, inception_norm_9, inception_norm_9d },
    { "branch3.0.bn.weight", 1, inception_norm_10, inception_norm_10d },
    { "branch3.0.bn.bias", 1, inception_norm_11, inception_norm_11d },
    { "branch3.1.conv.weight", 18, inception_norm_12, inception_norm_12d },
    { "branch3.1.bn.weight", 2, inception_norm_13, inception_norm_13d },
    { "branch3.1.bn.bias", 2, inception_norm_14, inception_norm_14d },
    { "branch4.1.conv.weight", 6, inception_norm_15, inception_norm_15d },
    { "branch4.1.bn.weight", 2, inception_norm_16, inception_norm_16d },
    { "branch4.1.bn.bias", 2, inception_norm_17, inception_norm_17d },
    { "branch1.bn.running_mean", 2, inception_norm_18, inception_norm_18d },
    { "branch1.bn.running_var", 2, inception_norm_19, inception_norm_19d },
    { "branch2.0.bn.running_mean", 2, inception_norm_20, inception_norm_20d },
    { "branch2.0.bn.running_var", 2, inception_norm_21, inception_norm_21d },
    { "branch2.1.bn.running_mean", 2, inception_norm_22, inception_norm_22d },
    { "branch2.1.bn.running_var", 2, inception_norm_23, inception_norm_23d },
    { "branch3.0.bn.running_mean", 1, inception_norm_24, inception_norm_24d },
    { "branch3.0.bn.running_var", 1, inception_norm_25, inception_norm_25d },
    { "branch3.1.bn.running_mean", 2, inception_norm_26, inception_norm_26d },
    { "branch3.1.bn.running_var", 2, inception_norm_27, inception_norm_27d },
    { "branch4.1.bn.running_mean", 2, inception_norm_28, inception_norm_28d },
    { "branch4.1.bn.running_var", 2, inception_norm_29, inception_norm_29d }
};

static const float inception_norm_x[] = {
    .55f, .05f, .03f, .57f, -.27f, .03f, -.25f, -.29f, .53f, -.49f, .31f, .37f, .59f, -.49f, .17f, -.51f, -.37f,
    -.23f, .45f, -.17f, -.23f, .55f, -.47f, -.31f, -.57f, -.39f, -.55f, -.47f, .35f, -.03f, .01f, .07f, -.35f,
    -.21f, .53f, -.55f, .41f, .55f, -.29f, .53f, .17f, -.15f, -.27f, .45f, -.09f, .55f, -.39f, .09f, -.09f, .59f,
    -.43f, .41f, -.05f, .11f, -.01f, .13f, .33f, -.33f, .49f, -.27f, -.57f, .25f, .43f, .43f, .21f, -.17f, .33f,
    .47f, .11f, .07f, .01f, .43f,
};

static const float inception_norm_g[] = {
    -.47f, .11f, .39f, -.17f, .03f, .29f, .41f, -.35f, -.21f, -.41f, .47f, -.45f, -.53f, -.47f, .49f, -.17f, -.07f,
    -.57f, -.43f, .13f, .15f, .37f, -.05f, .41f, .51f, -.43f, -.07f, -.27f, .23f, -.25f, -.35f, -.51f, .59f, -.05f,
    .59f, -.07f, -.01f, -.29f, -.15f, .59f, -.35f, -.51f, -.13f, -.09f, .25f, -.31f, .41f, .35f, -.35f, .49f, .35f,
    .07f, -.33f, -.23f, -.53f, .27f, .47f, .31f, -.51f, .01f, .47f, .31f, -.21f, -.25f, -.49f, -.13f, .35f, .27f,
    .11f, -.37f, .39f, .43f, -.45f, .47f, -.29f, -.33f, .43f, .05f, .41f, -.41f, -.05f, .35f, .51f, -.29f, .51f,
    .55f, -.17f, .11f, .61f, .49f, .59f, -.11f, -.41f, -.35f, -.25f, .33f, .27f, .43f, .49f, .37f, -.15f, -.07f,
    -.55f, .33f, -.49f, -.53f, .47f, -.05f, -.41f, .33f, .29f, .49f, -.15f, .17f, -.23f, -.11f, .03f, .41f, .01f,
    .09f, -.51f, -.39f, .35f, .55f, -.23f, .19f, -.21f, .45f, -.41f, -.05f, .45f, -.41f, .09f, .21f, .39f, .47f,
    -.37f, .19f, .11f, -.05f, .01f, -.37f, .27f, .43f, -.43f, -.07f, -.47f, -.11f, .13f, -.19f, -.03f, .53f, .41f,
    -.31f, .53f, .41f, .19f, -.03f, -.27f, .39f, .11f, -.03f, -.35f, .01f, .01f, -.19f, -.03f, .01f, -.53f, .29f,
    -.47f, -.57f, .41f, .39f, .31f, -.17f, -.23f, -.21f, .53f, -.49f, .33f, .35f, -.51f, -.27f, -.33f, -.41f, .01f,
    .57f, .11f, -.51f, -.37f, .39f,
};

static const float inception_norm_y[] = {
    1.21558f, 0.0f, .204232f, 0.0f, 0.0f, 0.0f, 1.92331f, .188604f, 0.0f, 2.00591f, 0.0f, 0.0f, .901894f, 0.0f,
    .000341228f, 0.0f, 0.0f, 0.0f, .249329f, 0.0f, 0.0f, .165877f, 0.0f, 0.0f, 0.0f, 2.41302f, .242156f, 1.11526f,
    1.31306f, 0.0f, .911093f, 2.11368f, .668353f, .582775f, .734614f, .348417f, 1.11943f, 0.0f, 1.76739f, .56211f,
    0.0f, 1.61305f, 0.0f, .210486f, .898582f, 2.09549f, .381193f, 1.25532f, .83542f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, .33297f, 0.0f, 0.0f, 0.0f, 2.06567f, 3.83269f, .944724f, 0.0f, 0.0f, 0.0f, 3.17143f, 2.58065f,
    .113207f, 1.66564f, 0.0f, 0.0f, 0.0f, 0.0f, 1.2462f, 1.2462f, 0.0f, 0.0f, 0.0f, .105872f, .318355f, 0.0f,
    1.62867f, 2.30153f, .363754f, .363754f, .830918f, .830918f, .363754f, 0.0f, 0.0f, 0.0f, .174775f, 0.0f, 0.0f,
    0.0f, 0.0f, 2.35977f, 0.0f, 2.08629f, .55921f, .627303f, 1.01689f, 1.34507f, 1.64535f, 0.0f, 2.09633f,
    .246651f, 0.0f, 1.04212f, 0.0f, .830755f, 0.0f, 0.0f, 0.0f, .425809f, .229492f, 0.0f, .199394f, 0.0f, 0.0f,
    0.0f, 1.87207f, 0.0f, .559731f, .520218f, 0.0f, .290811f, .600237f, .649449f, .778973f, 1.68623f, 1.7977f,
    1.45439f, 0.0f, 1.35078f, 1.57963f, 0.0f, 3.79976f, 0.0f, 1.20686f, .915568f, 1.44028f, 0.0f, .505256f,
    .412037f, 0.0f, 0.0f, .322406f, 0.0f, 0.0f, 0.0f, 0.0f, .139556f, 0.0f, .203553f, 0.0f, .221982f, .238007f,
    0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .0775404f, 0.0f, 0.0f, .962887f, .0775404f, 0.0f, 0.0f,
    .424597f, 1.92614f, .552086f, .20503f, 1.30286f, .663067f, .124303f, .00457753f, 0.0f, .663067f, .124303f,
    .00457753f, 0.0f, 0.0f, .112565f, 0.0f, 0.0f,
};

static const float inception_norm_dx[] = {
    1.66014f, -2.88579f, 1.21115f, 5.65581f, 1.96215f, -1.36584f, -1.97712f, -.857129f, -3.73531f, 2.01317f,
    1.11957f, -5.049f, .341805f, -2.28863f, 1.32248f, .851476f, 1.27163f, -.765068f, 2.25661f, -1.54428f, .956175f,
    -7.07809f, -1.01836f, -1.37481f, -1.00358f, -2.52396f, 1.50847f, -.0283324f, -2.55973f, -1.03776f, -.502219f,
    .234788f, -.0221726f, .613513f, -1.46316f, -.713653f, -.762534f, -4.97587f, 2.77627f, 6.81762f, -1.02581f,
    1.39007f, .020835f, 3.68611f, .66557f, -5.63014f, -.396673f, -.317238f, .486101f, -1.80124f, 1.75934f, 4.3299f,
    .602867f, .640727f, -1.74585f, 3.49694f, .584596f, -.493343f, -.791048f, 7.61324e-5f, -.0881891f, .929691f,
    2.08705f, .521542f, .0114856f, .918621f, .901709f, 2.58494f, -.51254f, -.0732754f, .380922f, -.16416f,
};

static const float fire_0[] = {
    -.19f, -.35f, .59f, .23f, .41f, -.01f,
};

static const float fire_0d[] = {
    .529908f, .977956f, .525078f, 0.0f, 0.0f, 0.0f,
};

static const float fire_1[] = {
    .35f, -.43f,
};

static const float fire_1d[] = {
    .0498f, 0.0f,
};

static const float fire_2[] = {
    .55f, -.41f, -.59f, -.45f,
};

static const float fire_2d[] = {
    -.771889f, 0.0f, .213605f, 0.0f,
};

static const float fire_3[] = {
    .15f, .55f,
};

static const float fire_3d[] = {
    -1.26f, -.9f,
};

static const float fire_4[] = {
    -.29f, .41f, -.31f, .13f, -.29f, -.11f, .55f, .13f, -.51f, -.53f, .43f, .07f, -.07f, -.43f, .31f, .57f, -.13f,
    .15f, .59f, .29f, .45f, -.27f, .43f, .43f, -.33f, -.05f, -.49f, -.27f, .09f, .39f, .01f, -.53f, .03f, .33f,
    -.21f, -.21f, -.17f, .35f, .59f, .29f, .51f, -.51f, .25f, .31f, -.19f, -.43f, -.09f, .15f, -.27f, .25f, .17f,
    -.35f, -.29f, .35f,
};

static const float fire_4d[] = {
    .357762f, .340666f, 0.0f, .05296f, .138171f, 0.0f, .501394f, .224512f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, -.206774f, -.516353f, -.130348f, -.231982f, -1.0551f, -1.23543f, .016798f, -.096377f,
    .09477f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .867184f, .853955f, .35549f, .396938f, .409877f,
    .222375f, 1.71368f, 1.42633f, .081777f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
};

static const float fire_5[] = {
    -.43f, -.45f, -.37f,
};

static const float fire_5d[] = {
    .66f, -1.93f, 2.36f,
};

static const blocks_param fire_params[] = {
    { "squeeze.weight", 6, fire_0, fire_0d },
    { "squeeze.bias", 2, fire_1, fire_1d },
    { "expand1x1.weight", 4, fire_2, fire_2d },
    { "expand1x1.bias", 2, fire_3, fire_3d },
    { "expand3x3.weight", 54, fire_4, fire_4d },
    { "expand3x3.bias", 3, fire_5, fire_5d }
};

static const float fire_x[] = {
    .11f, .37f, -.25f, -.45f, .11f, .51f, -.03f, .57f, .23f, -.23f, -.57f, .47f, -.47f, -.47f, -.05f, -.37f, -.27f,
    .13f, -.51f, .05f, -.19f, .09f, -.01f, .31f, .01f, -.53f, .23f, -.27f, .21f, .49f, -.25f, -.29f, -.19f, .41f,
    .53f, .15f, -.21f, .27f, .25f, .49f, .41f, .23f, -.25f, .53f, -.33f, .55f, -.07f, -.57f, -.51f, .09f, .57f,
    -.09f, -.59f, -.27f, -.11f, .15f, .25f, .09f, -.37f, -.13f, -.51f, -.41f, .29f, -.23f, .07f, .33f, -.09f,
    -.01f, -.57f, -.01f, .35f, .41f,
};

static const float fire_g[] = {
    -.13f, -.41f, .29f, -.45f, .01f, .31f, -.53f, -.19f, .51f, .19f, -.07f, .23f, .41f, .01f, .25f, .27f, -.29f,
    .39f, -.07f, -.37f, -.27f, .01f, -.03f, .33f, .03f, -.57f, -.25f, -.25f, .47f, .19f, .15f, -.13f, .53f, .25f,
    .23f, .05f, -.39f, -.15f, .59f, -.13f, .39f, -.47f, -.43f, .15f, .45f, -.57f, -.43f, .07f, .53f, .13f, .41f,
    -.27f, .27f, -.43f, .35f, .55f, .55f, -.43f, .13f, .23f, .39f, -.03f, -.19f, .33f, -.37f, -.55f, -.13f, .35f,
    .01f, -.33f, -.41f, -.09f, -.51f, .41f, -.55f, -.55f, -.27f, .13f, -.29f, -.21f, -.37f, .23f, .45f, -.01f,
    -.07f, -.37f, .11f, .35f, .41f, -.25f, .43f, -.09f, .13f, -.23f, .27f, .41f, -.19f, .53f, -.41f, .35f, -.35f,
    -.43f, -.09f, .25f, .15f, -.47f, -.37f, .43f, -.21f, -.11f, .49f, .33f, -.05f, .21f, -.55f, -.01f, .51f, -.01f,
    .05f, -.35f,
};

static const float fire_y[] = {
    .424725f, .222325f, .452885f, .373135f, .451125f, .423185f, .362685f, .179205f, .293385f, .482255f, .575975f,
    .282385f, .255295f, .472415f, .225087f, .310637f, .226975f, .256947f, .321847f, .518671f, .396187f, .193581f,
    .0930451f, .407987f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .00343799f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f,
    0.0f, .118552f, .212113f, 0.0f, 0.0f, 0.0f, 0.0f, .278836f, .184296f, 0.0f, 0.0f, 0.0f, .239844f, 0.0f,
    .123187f, .306574f, .305272f, .397363f, .127368f, 0.0f, .184086f, .05958f, .297125f, .163915f, .300755f,
    .233985f, .435945f, .477525f, .360595f, .254995f, .15f, .264455f, .534615f, .560135f, .392175f, .535073f,
    .388281f, .459907f, .243259f, .198655f, .324089f, .437369f, .55f, .427221f, .137413f, .110037f, 0.0f, 0.0f,
    0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .169757f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, .140998f, 0.0f, 0.0f,
    0.0f, 0.0f, .137128f, .396435f, 0.0f, 0.0f, 0.0f, .091708f, 0.0f, 0.0f, .223835f, .01975f, .472876f, .211395f,
    0.0f, 0.0f, .180651f,
};

static const float fire_dx[] = {
    .031711f, -.020843f, -.077026f, .087533f, -.105583f, -.116375f, .07752f, -.017062f, .023921f, -.048127f,
    -.040888f, .012768f, .058415f, -.038395f, -.14189f, .161245f, -.194495f, -.214375f, .1428f, -.03143f, .044065f,
    -.088655f, -.07532f, .02352f, -.098471f, .064723f, .239186f, -.271813f, .327863f, .361375f, -.24072f, .052982f,
    -.074281f, .149447f, .126968f, -.039648f, -.058691f, .048165f, -.073321f, -.077843f, .088103f, .008512f,
    .080351f, -.107787f, 0.0f, .112556f, .124127f, .038817f, -.108115f, .088725f, -.135065f, -.143395f, .162295f,
    .01568f, .148015f, -.198555f, 0.0f, .20734f, .228655f, .071505f, .182251f, -.149565f, .227681f, .241723f,
    -.273583f, -.026432f, -.249511f, .334707f, 0.0f, -.349516f, -.385447f, -.120537f,
};

static const float mobilenet_v2_0[] = {
    -.41f, .43f, .39f, .19f, .41f, -.45f, .21f, .05f, -.27f, .25f, .25f, -.53f, .13f, -.03f, .17f, -.53f, .15f,
    .23f,
};

static const float mobilenet_v2_0d[] = {
    -.231379f, -2.27053f, 2.26018f, 5.0425f, -.48576f, 1.68652f, 3.97606f, 1.35139f, 3.34306f, 3.28931f, -4.29332f,
    -.473099f, -2.43032f, 18.9682f, 5.20808f, -.928606f, -4.83292f, 1.01182f,
};

static const float mobilenet_v2_1[] = {
    .87f, 1.01f, 1.07f, .55f, .65f, 1.37f,
};

static const float mobilenet_v2_1d[] = {
    .0289133f, -.134549f, -.112307f, -2.85635f, .397836f, -.138809f,
};

static const float mobilenet_v2_2[] = {
    -.59f, .35f, .17f, -.37f, .09f, .51f,
};

static const float mobilenet_v2_2d[] = {
    .0427412f, .388124f, .707156f, -4.24711f, -2.87259f, .372857f,
};

static const float mobilenet_v2_3[] = {
    -.19f, .51f, -.27f, -.53f, .47f, -.59f, .05f, .37f, .09f, .47f, .17f, -.37f, .09f, .55f, .53f, .45f, .61f,
    -.15f, .05f, .57f, -.27f, -.15f, -.15f, -.21f, -.11f, .39f, -.13f, -.33f, -.19f, .35f, -.37f, -.51f, -.43f,
    -.51f, .45f, -.07f, .49f, -.31f, -.39f, .07f, .25f, .49f, .29f, -.21f, .39f, .43f, -.43f, .05f, -.27f, -.57f,
    .07f, -.27f, -.55f, .17f,
};

static const float mobilenet_v2_3d[] = {
    -.285526f, -.723273f, .152874f, -.412498f, -1.02821f, -.619579f, 1.65554f, .552265f, -.357798f, -2.1607f,
    1.05937f, .949349f, -.837328f, -.695407f, 2.16926f, .554728f, .112657f, -1.17615f, 1.78745f, -.879334f,
    -.341284f, .97161f, .343444f, -2.00198f, 1.87407f, 1.4059f, 1.88894f, .882132f, -.358343f, -1.10384f, 1.98583f,
    .920423f, .0897974f, .258732f, 4.36591f, -.283986f, -1.45759f, -.826783f, -2.62072f, .92335f, -3.03605f,
    -.364154f, 4.61038f, -3.38968f, -4.46188f, -2.72078f, .393208f, .721804f, -.0174225f, -1.93909f, -.860194f,
    .0317123f, -.412482f, .204921f,
};

static const float mobilenet_v2_4[] = {
    1.17f, 1.23f, 1.23f, 1.47f, 1.07f, .69f,
};

static const float mobilenet_v2_4d[] = {
    -.392287f, -1.68223f, .671652f, .752364f, .559861f, -1.09791f,
};

static const float mobilenet_v2_5[] = {
    .19f, -.43f, .21f, .13f, -.01f, -.17f,
};

static const float mobilenet_v2_5d[] = {
    .0476944f, -1.17496f, .169529f, .350171f, .712951f, -.976239f,
};

static const float mobilenet_v2_6[] = {
    -.17f, -.27f, -.07f, -.07f, .51f, .37f, .21f, .27f, .07f, -.57f, .33f, .57f, .43f, -.45f, .51f, .43f, -.35f,
    .43f,
};

static const float mobilenet_v2_6d[] = {
    4.27804f, -2.6703f, -1.00297f, 5.67543f, 1.54374f, -1.22752f, .197075f, -5.3063f, -1.2658f, -2.38603f,
    .624167f, -.151064f, .548762f, 1.89376f, 1.72575f, .438933f, 1.14674f, -.119321f,
};

static const float mobilenet_v2_7[] = {
    1.39f, 1.51f, .95f,
};

static const float mobilenet_v2_7d[] = {
    -2.5003f, -.398959f, -1.2647f,
};

static const float mobilenet_v2_8[] = {
    -.47f, -.07f, -.59f,
};

static const float mobilenet_v2_8d[] = {
    1.18f, .18f, -.2f,
};

static const float mobilenet_v2_9[] = {
    .45f, .49f, .33f, -.43f, .35f, -.49f,
};

static const float mobilenet_v2_9d[] = {
    .399141f, .440618f, .298476f, -.38583f, .315274f, -.445121f,
};

static const float mobilenet_v2_10[] = {
    1.35f, 1.03f, .71f, .63f, 1.31f, .93f,
};

static const float mobilenet_v2_10d[] = {
    1.2188f, .934073f, .640456f, .573229f, 1.17969f, .840309f,
};

static const float mobilenet_v2_11[] = {
    .13f, -.27f, -.05f, -.27f, -.27f, .53f,
};

static const float mobilenet_v2_11d[] = {
    .118732f, -.129348f, -.0407867f, -.25343f, -.217015f, .370272f,
};

static const float mobilenet_v2_12[] = {
    1.25f, .91f, 1.17f, .55f, .63f, 1.21f,
};

static const float mobilenet_v2_12d[] = {
    1.13255f, .860756f, 1.07085f, .497591f, .577248f, 1.16159f,
};

static const float mobilenet_v2_13[] = {
    -.19f, -.19f, .19f,
};

static const float mobilenet_v2_13d[] = {
    -.168806f, -.155862f, .231569f,
};

static const float mobilenet_v2_14[] = {
    1.51f, .91f, .83f,
};

static const float mobilenet_v2_14d[] = {
    1.37415f, .858397f, .81648f,
};

static const blocks_param mobilenet_v2_params[] = {
    { "conv.0.0.weight", 18, mobilenet_v2_0, mobilenet_v2_0d },
    { "conv.0.1.weight", 6, mobilenet_v2_1, mobilenet_v2_1d },
    { "conv.0.1.bias", 6, mobilenet_v2_2, mobilenet_v2_2d },
    { "conv.1.0.weight", 54, mobilenet_v2_3, mobilenet_v2_3d },
    { "conv.1.1.weight", 6, mobilenet_v2_4, mobilenet_v2_4d },
    { "conv.1.1.bias", 6, mobilenet_v2_5, mobilenet_v2_5d },
    { "conv.2.weight", 18, mobilenet_v2_6, mobilenet_v2_6d },
    { "conv.3.weight", 3, mobilenet_v2_7, mobilenet_v2_7d },
    { "conv.3.bias", 3, mobilenet_v2_8, mobilenet_v2_8d },
    { "conv.0.1.running_mean", 6, mobilenet_v2_9, mobilenet_v2_9d },
    { "conv.0.1.running_var", 6, mobilenet_v2_10, mobilenet_v2_10d },
    { "conv.1.1.running_mean", 6, mobilenet_v2_11, mobilenet_v2_11d },
    { "conv.1.1.running_var", 6, mobilenet_v2_12, mobilenet_v2_12d },
    { "conv.3.running_mean", 3, mobilenet_v2_13, mobilenet_v2_13d },
    { "conv.3.running_var", 3, mobilenet_v2_14, mobilenet_v2_14d }
};

static const float mobilenet_v2_x[] = {
    .01f, -.19f, -.37f, -.07f, -.11f, -.59f, .29f, -.41f, .53f, -.31f, -.35f, -.05f, .55f, .31f, .31f, .33f, .21f,
    .05f, -.47f, .41f, .33f, -.49f, .03f, -.51f, .09f, -.31f, .47f, -.03f, .11f, -.57f, -.01f, -.57f, .03f, .15f,
    .45f, -.49f, .03f, -.23f, .55f, -.39f, .05f, -.31f, -.55f, -.11f, -.35f, .09f, -.15f, -.19f, .43f, .15f, .09f,
    .03f, -.53f, -.19f, .45f, -.01f, .29f, .57f, -.33f, .19f, .31f, .09f, .45f, -.39f, .17f, -.25f, .61f, -.57f,
    .53f, -.37f, -.27f, -.51f, .39f, .25f, -.01f, -.07f, .31f, -.07f, -.57f, -.37f, .43f, .51f, -.41f, .57f, -.41f,
    -.31f, -.17f, .23f, -.47f, .09f, .35f, -.51f, -.41f, .49f, .27f, .19f,
};

static const float mobilenet_v2_g[] = {
    -.59f, .03f, .11f, .31f, .35f, .45f, .29f, .33f, .05f, .37f, .23f, .03f, .25f, -.41f, .31f, -.43f, -.57f,
    -.23f, -.03f, .37f, .51f, -.05f, .29f, .47f, .13f, -.43f, -.27f, .15f, .25f, -.13f, .41f, .45f, -.41f, -.17f,
    -.07f, .01f, -.03f, -.53f, -.21f, .51f, -.47f, .29f, .25f, -.17f, .17f, .47f, -.55f, -.53f, .47f, -.49f, -.29f,
    -.39f, .23f, -.19f, -.39f, -.01f, .05f, -.07f, .29f, .15f, .29f, -.35f, .43f, -.23f, .03f, .31f, .05f, -.39f,
    -.59f, .29f, -.07f, -.33f, -.07f, -.41f, .25f, -.01f, -.31f, .27f, .21f, -.37f, .37f, .07f, .45f, -.53f, .51f,
    .25f, .21f, .41f, -.17f, .39f, -.51f, -.23f, .13f, .11f, .25f, -.47f,
};

static const float mobilenet_v2_y[] = {
    -1.00503f, 1.27383f, -.919581f, -.0807416f, -1.94258f, .684046f, -1.87948f, -1.52097f, -1.37456f, -2.06145f,
    -2.03497f, 1.04224f, .772502f, 2.08509f, -.23488f, 1.18625f, -1.60569f, -.743694f, -.90999f, .204928f,
    -.855381f, -1.27302f, -4.948f, -.477982f, -2.06618f, .270854f, 1.48416f, .321249f, .899722f, -.746322f,
    -.0217492f, .328467f, -.544447f, -.994701f, -.841351f, -1.89939f, .595926f, -1.52835f, 1.65308f, -.468235f,
    1.59284f, -2.2606f, -1.44409f, -1.61778f, -.805684f, -1.06121f, -.298165f, -.896539f, 1.39805f, -.28349f,
    1.90492f, -.590554f, -4.81289f, -.396148f, .6908f, -2.23602f, -2.34776f, .733154f, -2.27056f, .126499f,
    .372958f, .489289f, .668867f, -.996841f, -.112369f, .639762f, 2.23118f, -.950919f, -1.77918f, -.622187f,
    1.0292f, -1.00173f, 4.18371f, 2.54328f, .680783f, -.298074f, 1.24872f, .459832f, -2.06737f, -.346017f,
    .221142f, -1.38272f, -1.85322f, -.664048f, 1.06063f, -1.70235f, -.515387f, -.0247978f, -2.13158f, -1.52927f,
    .439769f, -1.90783f, -.303795f, -.131145f, .232692f, 1.15061f,
};

static const float mobilenet_v2_dx[] = {
    .507743f, -.335638f, -1.4424f, .720105f, .499646f, .316766f, 4.17852f, .613169f, .530065f, -1.45027f, 2.67603f,
    .953986f, -2.18355f, -.671461f, -.523809f, -.351164f, .529004f, -.919234f, 1.2878f, -.241956f, -.214726f,
    -.0072221f, -1.05172f, .433635f, .8925f, -.295874f, -1.71875f, -.335392f, -1.56544f, .0999918f, .43975f,
    .7614f, 2.8157f, -2.36047f, 1.23185f, .512847f, .399591f, -.291662f, 3.86815f, .520334f, -2.2036f, 1.47867f,
    -2.12728f, -.793226f, 4.27169f, -.886981f, -2.37072f, -1.23805f, .795591f, -1.06019f, -.657167f, -.00509547f,
    -2.16566f, -.571382f, -1.17017f, -2.52598f, 3.28059f, 1.73432f, .545977f, .692208f, .0848493f, -.863618f,
    -.115466f, -.856549f, .465164f, .392629f, -.591458f, -.566454f, -3.7652f, 1.01043f, .537358f, .219681f,
    2.65447f, .747763f, .470181f, .396072f, -.20556f, .295444f, .328439f, -.302737f, -.112536f, -.820552f,
    2.16597f, .0428232f, 6.86361f, .281293f, -.307184f, -2.8694f, -6.24098f, -1.3431f, -1.82802f, -1.14165f,
    .625681f, .322493f, -.553757f, 1.88848f,
};

static const float mobilenet_v2_first_0[] = {
    -.09f, -.01f, -.05f, .35f, -.37f, .21f, -.43f, .47f, .59f, -.03f, .41f, -.19f, -.45f, .49f, .49f, .25f, .55f,
    .09f, -.21f, -.09f, -.03f, -.47f, .27f, -.47f, -.33f, -.31f, .15f, -.37f, -.13f, -.45f, -.21f, -.17f, .13f,
    -.37f, .61f, -.39f,
};

static const float mobilenet_v2_first_0d[] = {
    .544275f, 2.76715f, 2.65028f, -1.83093f, -2.86774f, 1.0259f, -1.46773f, -.758064f, -1.1888f, -.00148955f,
    .448043f, -.186241f, .226963f, -.463159f, -.0600447f, .615692f, -.0291506f, .0154358f, -1.16098f, -.0124376f,
    .517024f, -2.31231f, -1.46438f, .494967f, 2.42153f, -1.10018f, -1.53594f, .45809f, .511351f, -3.09224f,
    .0386246f, .657344f, .611608f, -1.01544f, -.185694f, 3.53204f,
};

static const float mobilenet_v2_first_1[] = {
    1.07f, .97f, 1.07f, 1.45f,
};

static const float mobilenet_v2_first_1d[] = {
    -.24988f, -.646223f, -1.54835f, 1.76077f,
};

static const float mobilenet_v2_first_2[] = {
    .53f, -.49f, -.05f, -.19f,
};

static const float mobilenet_v2_first_2d[] = {
    -.435077f, -.736595f, -2.02091f, 1.22932f,
};

static const float mobilenet_v2_first_3[] = {
    .21f, -.01f, .27f, -.23f, -.27f, -.17f, .59f, .55f, .33f, -.35f, -.25f, .49f,
};

static const float mobilenet_v2_first_3d[] = {
    -1.601f, -4.73756f, -3.49409f, -5.35782f, .420547f, 1.32528f, -1.06008f, 1.75332f, -.146079f, .251376f,
    -.0526407f, .250869f,
};

static const float mobilenet_v2_first_4[] = {
    1.23f, .81f, .67f,
};

static const float mobilenet_v2_first_4d[] = {
    .358529f, 1.05368f, -2.37853f,
};

static const float mobilenet_v2_first_5[] = {
    .39f, -.37f, .53f,
};

static const float mobilenet_v2_first_5d[] = {
    -.5f, 1.96f, 1.14f,
};

static const float mobilenet_v2_first_6[] = {
    .03f, -.37f, .03f, .11f,
};

static const float mobilenet_v2_first_6d[] = {
    .0331044f, -.334306f, .0214633f, .106963f,
};

static const float mobilenet_v2_first_7[] = {
    1.47f, .95f, 1.27f, 1.19f,
};

static const float mobilenet_v2_first_7d[] = {
    1.32822f, .861914f, 1.14983f, 1.09121f,
};

static const float mobilenet_v2_first_8[] = {
    -.15f, -.31f, .61f,
};

static const float mobilenet_v2_first_8d[] = {
    -.118001f, -.251398f, .579589f,
};

static const float mobilenet_v2_first_9[] = {
    .57f, .53f, .65f,
};

static const float mobilenet_v2_first_9d[] = {
    .520702f, .505869f, .601629f,
};

static const blocks_param mobilenet_v2_first_params[] = {
    { "conv.0.0.weight", 36, mobilenet_v2_first_0, mobilenet_v2_first_0d },
    { "conv.0.1.weight", 4, mobilenet_v2_first_1, mobilenet_v2_first_1d },
    { "conv.0.1.bias", 4, mobilenet_v2_first_2, mobilenet_v2_first_2d },
    { "conv.1.weight", 12, mobilenet_v2_first_3, mobilenet_v2_first_3d },
    { "conv.2.weight", 3, mobilenet_v2_first_4, mobilenet_v2_first_4d },
    { "conv.2.bias", 3, mobilenet_v2_first_5, mobilenet_v2_first_5d },
    { "conv.0.1.running_mean", 4, mobilenet_v2_first_6, mobilenet_v2_first_6d },
    { "conv.0.1.running_var", 4, mobilenet_v2_first_7, mobilenet_v2_first_7d },
    { "conv.2.running_mean", 3, mobilenet_v2_first_8, mobilenet_v2_first_8d },
    { "conv.2.running_var", 3, mobilenet_v2_first_9, mobilenet_v2_first_9d }
};

static const float mobilenet_v2_first_x[] = {
    .55f, .21f, .05f, .47f, .09f, .51f, .43f, -.47f, .43f, -.03f, .09f, -.15f, -.25f, -.01f, .35f, .29f, .29f,
    -.33f, .29f, .19f, .01f, -.35f, -.21f, .11f, -.55f, -.27f, .03f, -.39f, .07f, -.39f, .33f, -.57f, .57f, -.59f,
    .59f, -.23f, .43f, .43f, .41f, .27f, .07f, .45f, -.21f, .23f, .27f, .17f, -.21f, .05f, -.49f, -.01f, .31f,
    -.57f, .53f, -.47f, -.25f, .57f, -.07f, -.07f, .55f, .45f, .17f, .53f, -.15f, -.15f, .03f, -.09f, -.11f, -.45f,
    -.47f, .13f, .25f, -.57f,
};

static const float mobilenet_v2_first_g[] = {
    .59f, -.51f, -.49f, .51f, -.59f, -.59f, -.49f, .39f, .25f, -.09f, -.51f, .51f, .19f, .39f, .39f, .57f, -.23f,
    -.21f, .11f, .49f, -.51f, .33f, -.27f, .13f, .57f, .17f, .37f, .31f, -.19f, -.45f, .39f, .45f, -.25f, .17f,
    -.57f, .57f, .37f, .03f, .55f, -.21f, .23f, -.49f, -.07f, .33f, .21f, -.55f, -.59f, .07f, .19f, .09f, -.47f,
    .25f, .45f, .31f,
};

static const float mobilenet_v2_first_y[] = {
    -.323107f, 1.85292f, -.625617f, .371628f, -1.86077f, 1.98508f, -.970495f, 3.015f, .718142f, .319397f,
    -.852833f, -.0733353f, -.235616f, 2.39979f, -.543166f, .0828713f, -.422798f, .0219516f, 1.25325f, .59201f,
    2.13417f, -.246935f, 1.33706f, .380847f, .452442f, .533245f, -.365881f, .296175f, 2.42937f, .642717f,
    -.385196f, .791182f, -.385196f, .0791021f, .158233f, -.769166f, -1.09496f, -.388381f, -1.4318f, -.798174f,
    -1.17035f, -.798174f, -.88298f, -.338109f, -.453338f, .414214f, .36593f, .244958f, .012858f, 1.67677f,
    .012858f, .714877f, -.407414f, .434738f,
};

static const float mobilenet_v2_first_dx[] = {
    -1.16173f, -.0916266f, 1.45601f, .513039f, 3.92269f, -1.08994f, 2.28818f, -1.13569f, -2.55949f, .0377551f,
    .33769f, .0698159f, -.698869f, .811179f, .647943f, -.296337f, -.0721951f, .231636f, 2.96492f, -2.53918f,
    2.60029f, 2.14211f, .101489f, -.748464f, -1.61201f, 1.81354f, -.290176f, .153602f, -.970076f, -.46061f,
    -2.58476f, -.782506f, .729768f, -.642119f, .716432f, -.15591f, -.85034f, -.327425f, .464192f, 1.63492f,
    -1.60379f, -2.31161f, -1.84344f, 2.86289f, .413041f, -.0152536f, -.162776f, .171903f, .223128f, -.457274f,
    -.0949064f, .00773492f, -.324181f, -.0878014f, -.360541f, .231213f, -.458384f, -.0296074f, -.00279301f,
    .196054f, .717442f, -.543675f, .767323f, .789517f, -.0888359f, .417999f, -2.05025f, 1.58729f, -1.15954f,
    -.166447f, -.781478f, 1.01514f,
};

static const float mobilenet_v3_0[] = {
    -.43f, .51f, -.07f, -.09f, .33f, -.33f, .03f, .47f, -.17f, .45f, .45f, .43f,
};

static const float mobilenet_v3_0d[] = {
    -.483072f, -.264439f, .734044f, 3.02888f, 4.90553f, 4.17933f, -4.30403f, 1.29685f, 2.67288f, -.134305f,
    .667645f, -.561269f,
};

static const float mobilenet_v3_1[] = {
    .55f, 1.33f, 1.43f, 1.41f,
};

static const float mobilenet_v3_1d[] = {
    1.61889f, -.726212f, .685778f, -.061912f,
};

static const float mobilenet_v3_2[] = {
    -.39f, .03f, -.37f, .31f,
};

static const float mobilenet_v3_2d[] = {
    2.01098f, -.784673f, 1.05045f, .266841f,
};

static const float mobilenet_v3_3[] = {
    -.23f, .19f, -.13f, -.27f, -.45f, -.19f, -.25f, -.39f, -.51f, .35f, -.01f, .61f, -.35f, .09f, -.25f, -.05f,
    -.49f, .57f, .33f, -.37f, .25f, -.59f, .61f, .43f, -.29f, -.03f, -.43f, -.37f, -.51f, -.39f, -.35f, -.55f,
    .51f, -.43f, .37f, -.19f, -.03f, -.35f, -.21f, .39f, -.25f, -.41f, .49f, .57f, .53f, .59f, .35f, .09f, .03f,
    -.39f, .41f, .31f, -.05f, -.47f, .01f, .09f, .31f, .25f, .05f, -.33f, -.35f, -.19f, .57f, -.57f, .09f, -.01f,
    .13f, -.05f, .09f, -.55f, .15f, .41f, -.43f, .07f, -.47f, .33f, .49f, -.27f, -.51f, -.37f, .55f, -.19f, -.25f,
    .35f, .01f, -.51f, -.43f, .21f, -.09f, .37f, .53f, -.45f, -.05f, .55f, -.13f, .49f, .11f, .15f, -.59f, .51f,
};

static const float mobilenet_v3_3d[] = {
    .144956f, .0573474f, .00504791f, .135714f, .144602f, .0303527f, .0299523f, .338762f, .295591f, .403475f,
    -.328579f, .124885f, .522462f, .156648f, -.053906f, -.543312f, -.632629f, -.670414f, .281152f, .158813f,
    -.52722f, -.188634f, .704258f, -.000949138f, .182252f, -.117388f, -.0743106f, -.716414f, .79999f, 1.46902f,
    .603877f, .198725f, 3.67421f, .317933f, 1.10638f, .232533f, -.222129f, .444884f, .104052f, .482793f, -.384739f,
    -.111208f, -1.19177f, -.640993f, -.574543f, .228375f, -.255025f, -.52561f, .114892f, .0194395f, -.398231f,
    1.24604f, .569752f, -1.06341f, -.540826f, .609924f, -.555037f, .724919f, .155977f, .0226918f, -.378752f,
    -.730953f, .312075f, .0535637f, .257815f, 2.09504f, .403392f, 1.00243f, 1.03758f, .33018f, -.195339f, .133613f,
    1.96291f, .20323f, .604431f, .148523f, -.000921632f, .294607f, .0183542f, .037762f, .226461f, .00855277f,
    .218569f, -.00189748f, -.283674f, -.213723f, -.300446f, .147832f, -.0541276f, .223147f, -.794649f, -.0164789f,
    .297437f, .0824371f, -.0293366f, .00660665f, .131035f, .0667887f, .257583f, .268793f,
};

static const float mobilenet_v3_4[] = {
    1.21f, 1.03f, 1.11f, 1.27f,
};

static const float mobilenet_v3_4d[] = {
    -.259341f, .949777f, -.000832921f, .473158f,
};

static const float mobilenet_v3_5[] = {
    .07f, .35f, .37f, .15f,
};

static const float mobilenet_v3_5d[] = {
    .0102298f, -.848039f, -.410404f, .195514f,
};

static const float mobilenet_v3_6[] = {
    .59f, .49f, -.33f, .51f, -.41f, -.31f, .11f, -.59f,
};

static const float mobilenet_v3_6d[] = {
    -.0675552f, -.0931352f, -.102916f, -.0840841f, 0.0f, 0.0f, 0.0f, 0.0f,
};

static const float mobilenet_v3_7[] = {
    .37f, -.57f,
};

static const float mobilenet_v3_7d[] = {
    -.250924f, 0.0f,
};

static const float mobilenet_v3_8[] = {
    .21f, .23f, .61f, .05f, .59f, -.51f, -.57f, .57f,
};

static const float mobilenet_v3_8d[] = {
    -.0399436f, 0.0f, -.0329317f, 0.0f, -.0900383f, 0.0f, .185364f, 0.0f,
};

static const float mobilenet_v3_9[] = {
    -.15f, .49f, -.45f, -.03f,
};

static const float mobilenet_v3_9d[] = {
    -.0152726f, -.0328845f, -.137615f, .256955f,
};

static const float mobilenet_v3_10[] = {
    .09f, .43f, -.51f, -.23f, -.15f, .35f, -.43f, -.05f, .01f, .35f, .39f, .07f, -.01f, -.55f, -.47f, -.27f,
};

static const float mobilenet_v3_10d[] = {
    -.00645615f, .574437f, 1.57789f, -2.51229f, .301633f, .20372f, .315153f, -2.68603f, -.845117f, -2.12741f,
    1.65427f, 1.65044f, -.236196f, -.529872f, .231842f, .630219f,
};

static const float mobilenet_v3_11[] = {
    1.47f, .73f, 1.09f, .71f,
};

static const float mobilenet_v3_11d[] = {
    .997145f, 1.46728f, .224863f, 1.31476f,
};

static const float mobilenet_v3_12[] = {
    -.21f, .11f, .17f, .55f,
};

static const float mobilenet_v3_12d[] = {
    .22f, .52f, -.36f, 1.06f,
};

static const float mobilenet_v3_13[] = {
    -.23f, -.21f, -.37f, -.55f,
};

static const float mobilenet_v3_13d[] = {
    -.227475f, -.207673f, -.366139f, -.544692f,
};

static const float mobilenet_v3_14[] = {
    .63f, .91f, .85f, .61f,
};

static const float mobilenet_v3_14d[] = {
    .624115f, .90119f, .841877f, .604557f,
};

static const float mobilenet_v3_15[] = {
    .49f, .25f, .59f, .19f,
};

static const float mobilenet_v3_15d[] = {
    .484758f, .246616f, .58271f, .191938f,
};

static const float mobilenet_v3_16[] = {
    .93f, 1.27f, .75f, .79f,
};

static const float mobilenet_v3_16d[] = {
    .92101f, 1.27323f, .746641f, .79653f,
};

static const float mobilenet_v3_17[] = {
    .59f, -.27f, .17f, -.37f,
};

static const float mobilenet_v3_17d[] = {
    .583894f, -.267623f, .170103f, -.369038f,
};

static const float mobilenet_v3_18[] = {
    1.35f, 1.35f, 1.19f, .69f,
};

static const float mobilenet_v3_18d[] = {
    1.33731f, 1.33696f, 1.17844f, .683783f,
};

static const blocks_param mobilenet_v3_params[] = {
    { "block.0.0.weight", 12, mobilenet_v3_0, mobilenet_v3_0d },
    { "block.0.1.weight", 4, mobilenet_v3_1, mobilenet_v3_1d },
    { "block.0.1.bias", 4, mobilenet_v3_2, mobilenet_v3_2d },
    { "block.1.0.weight", 100, mobilenet_v3_3, mobilenet_v3_3d },
    { "block.1.1.weight", 4, mobilenet_v3_4, mobilenet_v3_4d },
    { "block.1.1.bias", 4, mobilenet_v3_5, mobilenet_v3_5d },
    { "block.2.fc1.weight", 8, mobilenet_v3_6, mobilenet_v3_6d },
    { "block.2.fc1.bias", 2, mobilenet_v3_7, mobilenet_v3_7d },
    { "block.2.fc2.weight", 8, mobilenet_v3_8, mobilenet_v3_8d },
    { "block.2.fc2.bias", 4, mobilenet_v3_9, mobilenet_v3_9d },
    { "block.3.0.weight", 16, mobilenet_v3_10, mobilenet_v3_10d },
    { "block.3.1.weight", 4, mobilenet_v3_11, mobilenet_v3_11d },
    { "block.3.1.bias", 4, mobilenet_v3_12, mobilenet_v3_12d },
    { "block.0.1.running_mean", 4, mobilenet_v3_13, mobilenet_v3_13d },
    { "block.0.1.running_var", 4, mobilenet_v3_14, mobilenet_v3_14d },
    { "block.1.1.running_mean", 4, mobilenet_v3_15, mobilenet_v3_15d },
    { "block.1.1.running_var", 4, mobilenet_v3_16, mobilenet_v3_16d },
    { "block.3.1.running_mean", 4, mobilenet_v3_17, mobilenet_v3_17d },
    { "block.3.1.running_var", 4, mobilenet_v3_18, mobilenet_v3_18d }
};

static const float mobilenet_v3_x[] = {
    -.19f, .01f, .29f, -.53f, .55f, -.11f, .61f, -.59f, -.23f, -.03f, -.41f, -.45f, .15f, -.03f, -.17f, -.23f,
    -.45f, .03f, .55f, -.03f, .21f, .51f, .23f, -.01f, .27f, -.41f, -.21f, -.31f, -.31f, -.37f, .05f, -.53f, .47f,
    .23f, .09f, .09f, -.37f, .15f, .49f, -.15f, .25f, .09f, -.35f, .39f, .31f, .17f, -.45f, -.43f, .15f, -.23f,
    .39f, .01f, -.37f, -.09f, -.37f, -.21f, -.21f, .27f, .03f, .37f, .29f, -.15f, -.35f, -.33f, .25f, .59f, -.33f,
    -.31f, -.15f, .07f, -.09f, .37f, -.29f, -.59f, .51f, .19f, -.05f, .21f, .47f, .09f, -.19f, .35f, .53f, -.09f,
    .37f, -.37f, -.49f, .11f, -.49f, .31f, .59f, .43f, .49f, -.47f, .43f, .13f, -.33f, -.51f, .31f, -.43f, .35f,
    -.23f, .37f, .13f, .11f, -.37f, .13f, -.45f, .33f, -.39f, -.37f, -.39f, -.49f, .13f, -.11f, -.45f, -.35f, .49f,
    -.19f, .31f,
};

static const float mobilenet_v3_g[] = {
    .09f, .29f, -.15f, -.27f, -.05f, -.17f, .35f, -.37f, .41f, -.59f, .35f, -.05f, -.59f, -.51f, -.53f, .01f, .53f,
    -.03f, .57f, .13f, .03f, .17f, -.07f, -.23f, -.41f, .29f, .13f, -.39f, .61f, .25f, .07f, -.49f, .41f, .17f,
    .23f, .03f, .09f, -.45f, -.19f, .35f, .41f, .55f, -.11f, -.29f, .01f, .31f, .09f, .45f,
};

static const float mobilenet_v3_y[] = {
    -.211233f, -.820304f, 1.86583f, -1.56185f, .56955f, -2.94429f, .262288f, -.357168f, .790828f, .0732129f,
    .13681f, -1.46395f, -.292328f, .257691f, -.209839f, .197712f, 2.39487f, 1.93918f, .915469f, .526184f, .818936f,
    -.0336867f, -.977399f, -.329456f, -.168176f, .721842f, 2.2495f, -1.23995f, .704307f, -1.68522f, .392121f,
    .401039f, 1.37959f, -.183469f, .700978f, -.812278f, -1.54916f, .836079f, .103609f, -1.07786f, -.279458f,
    -.280496f, 1.62726f, .184555f, .574795f, 1.31357f, .855863f, 1.12391f,
};

static const float mobilenet_v3_dx[] = {
    -.00737188f, -.35539f, -.614219f, .0690812f, -.304779f, .0396361f, .368684f, .0644767f, -.283357f, .178779f,
    -.626195f, -.162008f, .168192f, .465714f, -.0963332f, .10093f, .321316f, .388617f, -.440064f, .00326503f,
    .405169f, 6.23159f, -1.75173f, .144417f, -.342337f, -.0629007f, .234606f, .246285f, .00291999f, -.464203f,
    1.35457f, .736146f, .707325f, -.760711f, -.982789f, -.55616f, -.978017f, -1.25212f, .356749f, -.0381088f,
    -.357905f, -2.7078f, -.234615f, -.17822f, -.189039f, .0339037f, .636931f, -.0655688f, -.0932023f, .316438f,
    -.556518f, -.339938f, -.631372f, .900103f, .651091f, .574861f, .665289f, .38758f, -.479356f, .026501f,
    .213317f, -.255165f, .277592f, -.143692f, .159451f, .0824398f, -.227653f, -.128098f, -.103238f, .783535f,
    .502773f, -.245055f, -.00493915f, .0967376f, -.239674f, .204053f, .179049f, -.143458f, -.14568f, -.14127f,
    .197062f, .796508f, -.443132f, -.264649f, .265531f, .395063f, .045109f, -.295149f, .703925f, -3.31489f,
    .981262f, -1.97078f, .942718f, -.316448f, .549873f, .197373f, -.504008f, -.47024f, -.503282f, -.222546f,
    .265013f, -.152575f, .0215544f, -.0280635f, -.00233065f, .0115329f, -.00612758f, .509823f, -.451931f, 1.69074f,
    1.40776f, .763081f, -1.31496f, .173271f, -.964576f, -.127872f, .319623f, .0536199f, -.418703f, -.108045f,
};

static const float efficientnet_0[] = {
    -.25f, .31f, -.57f, .41f, -.01f, -.55f, -.43f, .29f, -.17f, .29f, -.25f, -.27f, .23f, -.43f, .35f, .39f, .47f,
    .59f,
};

static const float efficientnet_0d[] = {
    -1.96228f, -.231466f, .734746f, -1.47342f, -5.23563f, -1.00321f, -.640932f, -.773076f, .302617f, -1.82411f,
    -3.23559f, 1.03704f, -4.77336f, -.814047f, 2.13704f, -.566218f, -1.43586f, 1.51813f,
};

static const float efficientnet_1[] = {
    .71f, .69f, .73f, 1.47f, 1.31f, 1.27f,
};

static const float efficientnet_1d[] = {
    .0805278f, .115589f, -.168854f, -.153642f, .359574f, .118509f,
};

static const float efficientnet_2[] = {
    .13f, -.47f, .31f, -.39f, -.49f, .29f,
};

static const float efficientnet_2d[] = {
    .420495f, -.312755f, .302882f, .959106f, .228221f, -.268592f,
};

static const float efficientnet_3[] = {
    .27f, -.55f, .57f, -.51f, -.05f, -.41f, .59f, .27f, .05f, -.29f, .47f, .15f, -.55f, .31f, .57f, -.17f, .39f,
    .07f, .53f, -.01f, -.23f, -.15f, .23f, -.27f, .53f, .59f, -.35f, .11f, -.07f, -.11f, -.19f, .53f, .25f, -.41f,
    -.31f, -.57f, .45f, .15f, .55f, .15f, .27f, -.33f, .17f, -.23f, .05f, -.27f, -.49f, .11f, -.15f, .17f, -.53f,
    .29f, .43f, .07f,
};

static const float efficientnet_3d[] = {
    .249169f, -.463724f, -.340958f, -1.08445f, .872483f, .0884606f, -.752545f, -.54063f, -.22651f, 2.57588f,
    -1.04546f, 2.82584f, .147292f, -.238488f, 1.0595f, 1.69093f, 1.73385f, -.329146f, -.705597f, .327f, -.128709f,
    -.201408f, 1.8154f, -.432408f, .197538f, -.723712f, -.301203f, -2.65327f, 2.05636f, 1.78746f, .114177f,
    .507366f, -1.55604f, -1.0977f, -2.72205f, .91164f, 1.01829f, .760715f, 1.44825f, -.954105f, -2.62007f,
    .559619f, -.511295f, 1.0922f, .0905961f, 2.32939f, -.449463f, -1.08573f, -.146255f, 1.89722f, -.570048f,
    -1.91346f, .996227f, .114961f,
};

static const float efficientnet_4[] = {
    1.41f, 1.07f, .93f, 1.43f, 1.05f, .71f,
};

static const float efficientnet_4d[] = {
    -2.44984f, .86326f, -.125214f, .980288f, .967912f, -.888888f,
};

static const float efficientnet_5[] = {
    -.15f, .57f, .27f, .59f, .23f, .53f,
};

static const float efficientnet_5d[] = {
    -1.31335f, -.0170269f, .312148f, .184731f, .8571f, .435263f,
};

static const float efficientnet_6[] = {
    .61f, .15f, -.29f, .55f, -.21f, .61f, -.59f, .43f, .33f, .39f, .53f, .61f,
};

static const float efficientnet_6d[] = {
    -.35998f, -.306321f, -.282717f, -.433807f, -.23219f, -.251693f, .310547f, .309206f, .257289f, .425206f,
    .221505f, .249786f,
};

static const float efficientnet_7[] = {
    .35f, .11f,
};

static const float efficientnet_7d[] = {
    -.606804f, .593937f,
};

static const float efficientnet_8[] = {
    .21f, -.53f, -.53f, .53f, .21f, -.49f, .05f, -.19f, -.25f, -.53f, -.37f, .05f,
};

static const float efficientnet_8d[] = {
    -1.54903f, -1.14553f, .221551f, .137698f, -.157353f, -.0903856f, .513129f, .657624f, .583544f, .32687f,
    -.0480449f, -.0258161f,
};

static const float efficientnet_9[] = {
    -.57f, .45f, -.43f, .01f, .19f, -.11f,
};

static const float efficientnet_9d[] = {
    -1.72298f, .232962f, -.16164f, .714054f, .595152f, -.0484358f,
};

static const float efficientnet_10[] = {
    -.23f, .43f, .23f, -.17f, .27f, -.53f, .15f, .41f, .17f, .31f, -.27f, -.53f, .57f, .27f, .57f, .35f, .27f,
    .21f,
};

static const float efficientnet_10d[] = {
    3.07665f, .549052f, -.149378f, -.408949f, 2.14568f, .27012f, .21122f, -.932587f, .441918f, -.0688202f,
    -.762667f, -.171809f, -3.28972f, 2.515f, -.526308f, 3.69501f, .852242f, -.12926f,
};

static const float efficientnet_11[] = {
    1.11f, 1.41f, .91f,
};

static const float efficientnet_11d[] = {
    -.874341f, .732917f, 1.47118f,
};

static const float efficientnet_12[] = {
    -.13f, .15f, -.53f,
};

static const float efficientnet_12d[] = {
    -.04f, 2.4f, 1.6f,
};

static const float efficientnet_13[] = {
    .55f, -.31f, .51f, .11f, .35f, .35f,
};

static const float efficientnet_13d[] = {
    .497384f, -.274731f, .458734f, .100679f, .313081f, .315809f,
};

static const float efficientnet_14[] = {
    1.21f, .99f, .87f, .75f, .69f, 1.11f,
};

static const float efficientnet_14d[] = {
    1.09431f, .895853f, .786527f, .677463f, .624639f, 1.00969f,
};

static const float efficientnet_15[] = {
    -.01f, .15f, .09f, .41f, -.13f, -.27f,
};

static const float efficientnet_15d[] = {
    -.0101477f, .131061f, .100993f, .364202f, -.107979f, -.265685f,
};

static const float efficientnet_16[] = {
    1.19f, .77f, .59f, .99f, 1.05f, 1.05f,
};

static const float efficientnet_16d[] = {
    1.09612f, .698235f, .559883f, .936945f, .960925f, .989466f,
};

static const float efficientnet_17[] = {
    .11f, .61f, .23f,
};

static const float efficientnet_17d[] = {
    .102765f, .564016f, .247389f,
};

static const float efficientnet_18[] = {
    1.51f, .91f, 1.35f,
};

static const float efficientnet_18d[] = {
    1.36395f, .830432f, 1.22586f,
};

static const blocks_param efficientnet_params[] = {
    { "block.0.0.weight", 18, efficientnet_0, efficientnet_0d },
    { "block.0.1.weight", 6, efficientnet_1, efficientnet_1d },
    { "block.0.1.bias", 6, efficientnet_2, efficientnet_2d },
    { "block.1.0.weight", 54, efficientnet_3, efficientnet_3d },
    { "block.1.1.weight", 6, efficientnet_4, efficientnet_4d },
    { "block.1.1.bias", 6, efficientnet_5, efficientnet_5d },
    { "block.2.fc1.weight", 12, efficientnet_6, efficientnet_6d },
    { "block.2.fc1.bias", 2, efficientnet_7, efficientnet_7d },
    { "block.2.fc2.weight", 12, efficientnet_8, efficientnet_8d },
    { "block.2.fc2.bias", 6, efficientnet_9, efficientnet_9d },
    { "block.3.0.weight", 18, efficientnet_10, efficientnet_10d },
    { "block.3.1.weight", 3, efficientnet_11, efficientnet_11d },
    { "block.3.1.bias", 3, efficientnet_12, efficientnet_12d },
    { "block.0.1.running_mean", 6, efficientnet_13, efficientnet_13d },
    { "block.0.1.running_var", 6, efficientnet_14, efficientnet_14d },
    { "block.1.1.running_mean", 6, efficientnet_15, efficientnet_15d },
    { "block.1.1.running_var", 6, efficientnet_16, efficientnet_16d },
    { "block.3.1.running_mean", 3, efficientnet_17, efficientnet_17d },
    { "block.3.1.running_var", 3, efficientnet_18, efficientnet_18d }
};

static const float efficientnet_x[] = {
    .45f, -.37f, .15f, .43f, -.51f, .59f, .49f, -.33f, .03f, -.11f, .25f, -.31f, .45f, -.17f, -.19f, .15f, .07f,
    .53f, .35f, -.23f, .57f, -.37f, .45f, .25f, -.49f, -.33f, -.13f, -.07f, .49f, .55f, -.09f, .27f, .09f, .57f,
    .43f, -.27f, -.49f, -.47f, .09f, -.39f, -.33f, .03f, .53f, -.31f, -.11f, -.41f, -.27f, .47f, .13f, .05f, .47f,
    -.29f, .23f, -.45f, -.29f, .11f, -.41f, .53f, .59f, .21f, .01f, -.43f, -.47f, .49f, .27f, .05f, .35f, -.43f,
    .23f, -.31f, -.07f, -.31f, -.35f, -.29f, .29f, .13f, -.31f, .29f, -.29f, .01f, .47f, -.13f, -.15f, -.35f, .05f,
    -.09f, .23f, .11f, -.39f, -.11f, .25f, -.59f, .59f, -.05f, -.21f, -.19f,
};

static const float efficientnet_g[] = {
    .25f, .47f, .49f, -.21f, .61f, .43f, -.33f, -.45f, .19f, -.15f, .21f, -.19f, -.21f, .55f, .51f, .09f, .49f,
    -.55f, -.31f, .43f, -.53f, -.05f, -.03f, .43f, .41f, .49f, .11f, -.03f, -.55f, -.19f, -.23f, -.19f, -.47f,
    .23f, -.07f, .07f, .39f, .33f, .33f, .59f, .03f, -.33f, -.29f, .49f, -.53f, .55f, -.31f, .25f, .39f, -.31f,
    -.27f, .07f, -.19f, -.57f, -.37f, .31f, -.17f, -.49f, -.05f, .17f, -.27f, -.19f, .05f, -.41f, -.25f, .35f,
    .37f, .07f, .53f, .23f, .19f, .45f, .31f, -.35f, -.47f, -.23f, .39f, .37f, .53f, .21f, -.29f, -.17f, .29f,
    -.03f, -.19f, -.25f, -.05f, -.33f, .31f, .49f, .49f, .15f, -.23f, .01f, -.41f, .55f,
};

static const float efficientnet_y[] = {
    .603392f, .323245f, -.905132f, .0733061f, .829123f, .181327f, -.269655f, 1.33027f, -1.85233f, .266686f,
    -1.59493f, -.807181f, -.221308f, -.339654f, -.575557f, .443928f, -.0698547f, 2.12857f, -.91526f, 2.16799f,
    2.51698f, 1.94824f, -.557102f, 1.13499f, -1.12839f, .928801f, -.00811305f, -.261978f, -.537252f, -1.68588f,
    -.378371f, -.863745f, -.305656f, 1.67732f, -.863669f, .930139f, -.806206f, -.406255f, -2.0347f, -.829961f,
    -1.01194f, 1.69662f, 1.74751f, -1.2775f, -1.5142f, -1.09604f, -2.02103f, -.523436f, -1.86789f, .602504f,
    -.491263f, -1.44055f, -.462577f, -.405498f, -1.20303f, .611751f, -2.23434f, -.301812f, 1.53883f, 2.03222f,
    -.189041f, -.219388f, .729769f, 3.13478f, -1.29919f, 1.32197f, .269635f, -.655524f, -.58324f, -.382407f,
    -1.0472f, -.167896f, .0323819f, .986392f, -.634071f, 2.48988f, -2.98308f, -.342488f, 1.28898f, 3.16624f,
    -.789351f, -.630399f, -.829615f, -1.59477f, -1.53032f, -1.45662f, -1.3101f, -.573588f, -1.26735f, -.210144f,
    .491336f, -.1234f, -.542062f, -.616421f, -.734872f, -.00332397f,
};

static const float efficientnet_dx[] = {
    .978378f, .350786f, -.036456f, .545388f, 1.30038f, -.198761f, .0445605f, -.483411f, 1.7347f, 1.97292f,
    2.12469f, -.989189f, -1.40184f, -.986647f, .0816703f, .151833f, -.256293f, .10232f, -.68754f, .826768f,
    -.787932f, 2.17169f, .525509f, .22298f, -2.43299f, -.925839f, -2.49757f, .737434f, -.549175f, -.891535f,
    .501875f, .617785f, -.515674f, .71086f, -.56143f, -1.49843f, .478234f, .389292f, -1.14944f, .572082f, .470243f,
    -.750086f, 3.06874f, .246555f, .781419f, 1.71926f, -.0922424f, .689007f, .597869f, -1.34223f, -1.54329f,
    .906242f, .723487f, -.409839f, -.475787f, -.211061f, 1.12509f, -2.1301f, -1.70968f, -1.36178f, -1.04006f,
    -.270853f, -.142499f, 2.0555f, -.314031f, .734558f, -.0550358f, -.148064f, -.135481f, -.240612f, -.249714f,
    -.156776f, .144612f, 2.67103f, -.0637704f, .206632f, 2.47133f, 1.22219f, .786732f, -1.15109f, -.324469f,
    .381709f, 2.8585f, -1.30682f, -1.9318f, .268645f, -.205494f, .984729f, -1.72207f, -.940432f, .486155f,
    1.41503f, -1.21549f, .0801897f, -.722806f, -1.06395f,
};

static const blocks_golden blocks_goldens[] = {
    { "basic", { 2, 3, 4, 4 }, { 2, 3, 4, 4 }, 10, basic_params,
      basic_x, basic_g, basic_y, basic_dx },
    { "basic_stride", { 2, 2, 5, 5 }, { 2, 3, 3, 3 }, 15, basic_stride_params,
      basic_stride_x, basic_stride_g, basic_stride_y, basic_stride_dx },
    { "bottleneck", { 2, 6, 3, 3 }, { 2, 6, 3, 3 }, 15, bottleneck_params,
      bottleneck_x, bottleneck_g, bottleneck_y, bottleneck_dx },
    { "bottleneck_wider", { 2, 3, 3, 4 }, { 2, 8, 3, 4 }, 20, bottleneck_wider_params,
      bottleneck_wider_x, bottleneck_wider_g, bottleneck_wider_y, bottleneck_wider_dx },
    { "bottleneck_groups", { 2, 3, 4, 4 }, { 2, 4, 2, 2 }, 20, bottleneck_groups_params,
      bottleneck_groups_x, bottleneck_groups_g, bottleneck_groups_y, bottleneck_groups_dx },
    { "bottleneck_dilated", { 2, 3, 4, 4 }, { 2, 4, 4, 4 }, 20, bottleneck_dilated_params,
      bottleneck_dilated_x, bottleneck_dilated_g, bottleneck_dilated_y, bottleneck_dilated_dx },
    { "preactivation", { 2, 3, 4, 4 }, { 2, 3, 4, 4 }, 10, preactivation_params,
      preactivation_x, preactivation_g, preactivation_y, preactivation_dx },
    { "preactivation_bottleneck", { 2, 4, 4, 4 }, { 2, 5, 2, 2 }, 16, preactivation_bottleneck_params,
      preactivation_bottleneck_x, preactivation_bottleneck_g, preactivation_bottleneck_y, preactivation_bottleneck_dx },
    { "residual_squeeze", { 2, 3, 4, 4 }, { 2, 3, 4, 4 }, 14, residual_squeeze_params,
      residual_squeeze_x, residual_squeeze_g, residual_squeeze_y, residual_squeeze_dx },
    { "squeeze_excite", { 2, 4, 3, 3 }, { 2, 4, 3, 3 }, 4, squeeze_excite_params,
      squeeze_excite_x, squeeze_excite_g, squeeze_excite_y, squeeze_excite_dx },
    { "inception", { 2, 3, 4, 5 }, { 2, 8, 4, 5 }, 12, inception_params,
      inception_x, inception_g, inception_y, inception_dx },
    { "inception_norm", { 2, 3, 3, 4 }, { 2, 8, 3, 4 }, 30, inception_norm_params,
      inception_norm_x, inception_norm_g, inception_norm_y, inception_norm_dx },
    { "fire", { 2, 3, 4, 3 }, { 2, 5, 4, 3 }, 6, fire_params,
      fire_x, fire_g, fire_y, fire_dx },
    { "mobilenet_v2", { 2, 3, 4, 4 }, { 2, 3, 4, 4 }, 15, mobilenet_v2_params,
      mobilenet_v2_x, mobilenet_v2_g, mobilenet_v2_y, mobilenet_v2_dx },
    { "mobilenet_v2_first", { 2, 4, 3, 3 }, { 2, 3, 3, 3 }, 10, mobilenet_v2_first_params,
      mobilenet_v2_first_x, mobilenet_v2_first_g, mobilenet_v2_first_y, mobilenet_v2_first_dx },
    { "mobilenet_v3", { 2, 3, 5, 4 }, { 2, 4, 3, 2 }, 19, mobilenet_v3_params,
      mobilenet_v3_x, mobilenet_v3_g, mobilenet_v3_y, mobilenet_v3_dx },
    { "efficientnet", { 2, 3, 4, 4 }, { 2, 3, 4, 4 }, 19, efficientnet_params,
      efficientnet_x, efficientnet_g, efficientnet_y, efficientnet_dx }
};
